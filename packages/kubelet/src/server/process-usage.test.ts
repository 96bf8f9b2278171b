import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parsePressure, readPressure } from "./pressure.ts";
import { softLimitOfFiles } from "./process-usage.ts";

for (const { name, text, want } of [
  {
    name: "a number",
    text: "Max processes  1 2 processes\nMax open files            1024       524288     files \n",
    want: 1024,
  },
  { name: "no limit as -1", text: "Max open files            unlimited     unlimited     files \n", want: -1 },
  { name: "nothing where nothing is said", text: "", want: undefined },
]) {
  test(`softLimitOfFiles() reads ${name}`, () => assert.equal(softLimitOfFiles(text), want));
}

const SOME = "some avg10=1.50 avg60=0.25 avg300=0.00 total=1234567\n";
const data = { total: 1234567, avg10: 1.5, avg60: 0.25, avg300: 0 };
const none = { total: 0, avg10: 0, avg60: 0, avg300: 0 };

for (const { name, text, want } of [
  { name: "both lines", text: `${SOME}${SOME.replace("some", "full")}`, want: { full: data, some: data } },
  { name: "an old kernel's, without the line of all tasks", text: SOME, want: { full: none, some: data } },
  { name: "nothing", text: "", want: undefined },
]) {
  test(`parsePressure() reads ${name}`, () => assert.deepEqual(parsePressure(text), want));
}

test("readPressure() leaves out what the kernel does not tell", async () => {
  const folder = await mkdtemp(join(tmpdir(), "knarr-pressure-"));
  await writeFile(join(folder, "io.pressure"), SOME);
  assert.deepEqual(await readPressure(folder), { cpu: undefined, memory: undefined, io: { full: none, some: data } });
  await rm(folder, { recursive: true });
});
