import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { journalArguments, parseNodeLogQuery } from "./node-log-query.ts";
import { resolveBelow } from "./node-logs.ts";

let root = "";
let outside = "";
before(async () => {
  root = await mkdtemp(join(tmpdir(), "knarr-logs-"));
  outside = await mkdtemp(join(tmpdir(), "knarr-outside-"));
  await mkdir(join(root, "pods"));
  await writeFile(join(root, "kubelet.log"), "hello\n");
  await writeFile(join(outside, "secret"), "secret\n");
  await symlink(join(outside, "secret"), join(root, "link"));
  await symlink(outside, join(root, "folder"));
  await symlink(join(root, "kubelet.log"), join(root, "inner"));
});
after(async () => {
  for (const path of [root, outside]) await rm(path, { recursive: true });
});

for (const path of ["/kubelet.log", "kubelet.log", "//kubelet.log", "/pods/../kubelet.log", "/inner"]) {
  test(`resolveBelow() finds the log at ${path}`, async () => {
    assert.equal(await resolveBelow(root, path), join(root, "kubelet.log"));
  });
}

const ESCAPES = [
  "/link",
  "/folder/secret",
  "/folder/",
  "/../../../etc/passwd",
  "../etc/passwd",
  "/pods/../../etc/passwd",
];
for (const path of ESCAPES) {
  test(`resolveBelow() refuses ${path}`, async () => {
    await assert.rejects(resolveBelow(root, path), { status: 404 });
  });
}

test("resolveBelow() never leaves the folder, whatever the path", async () => {
  const part = fc.oneof(fc.constantFrom("..", ".", "", "folder", "link", "pods", "secret", "%2e%2e"), fc.string());
  await fc.assert(
    fc.asyncProperty(fc.array(part, { maxLength: 8 }), async (parts) => {
      try {
        const found = await resolveBelow(root, parts.join("/"));
        assert.ok(found === root || found.startsWith(`${root}/`), found);
      } catch (error) {
        const { status } = error as { status?: number };
        assert.ok(status === 404 || status === 400, String(error));
      }
    }),
  );
});

const REFUSED: readonly { query: string; why: RegExp }[] = [
  { query: "query=%20%20", why: /^query: Invalid value: .*: query cannot be empty$/ },
  { query: "query=foo%3Brm", why: /input contains unsupported characters/ },
  { query: "query=a&query=b&query=c&query=d&query=e", why: /^query: Too many: 5: must have at most 4 items$/ },
  { query: "query=/a&query=/b", why: /cannot specify more than one file/ },
  { query: "query=/a&query=b", why: /cannot specify a file and service/ },
  { query: "query=/a&tailLines=3", why: /cannot specify file with options/ },
  { query: "tailLines=3", why: /^query: Required value: cannot be empty with options$/ },
  { query: "query=a&tailLines=x", why: /^tailLines: Invalid value: "x": / },
  { query: "query=a&tailLines=100001", why: /must be between 0 and 100000, inclusive/ },
  { query: "query=a&boot=1", why: /^boot: Invalid value: 1: must be less than 1$/ },
  { query: "query=a&sinceTime=yesterday", why: /^sinceTime: Invalid value: "yesterday": invalid time format$/ },
  { query: "query=a&sinceTime=2026-02-01T00:00:00Z&untilTime=2026-01-01T00:00:00Z", why: /must be after `sinceTime`/ },
  { query: "query=a&pattern=(", why: /^pattern: Invalid value: / },
];
for (const { query, why } of REFUSED) {
  test(`parseNodeLogQuery() refuses ${query}`, () => {
    assert.throws(() => parseNodeLogQuery(new URLSearchParams(query)), { message: why });
  });
}

test("journalArguments() gives every value a word of its own that no other flag can be made of", () => {
  assert.equal(parseNodeLogQuery(new URLSearchParams("")), undefined);
  const query = parseNodeLogQuery(
    new URLSearchParams(
      "query=kubelet&query=containerd&tailLines=5&pattern=--file%3D/etc/passwd&sinceTime=2026-01-01T01:00:00%2B01:00&boot=-1",
    ),
  );
  assert.ok(query);
  assert.deepEqual(journalArguments(query, query.services), [
    "--utc",
    "--no-pager",
    "--output=short-precise",
    "--since=2026-01-01 00:00:00",
    "--unit=kubelet",
    "--unit=containerd",
    "--lines=5",
    "--grep=--file=/etc/passwd",
    "--boot=-1",
  ]);
});
