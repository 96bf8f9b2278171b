/** The contract on log files: every line once, in order, in CRI's format, across long lines and rotation. */
import assert from "node:assert/strict";
import { readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import test from "node:test";
import { type ContractKit, containerConfig, exited, say, start, until } from "./contract-kit.ts";

interface LogLine {
  readonly time: string;
  readonly stream: string;
  readonly tag: string;
  readonly text: string;
}

export function parseLog(text: string): LogLine[] {
  const lines = text.split("\n");
  assert.equal(lines.pop(), "", "the log ends with a whole line");
  return lines.map((line) => {
    const match = /^(\S+) (stdout|stderr) (F|P) (.*)$/s.exec(line);
    assert.ok(match, `not a CRI log line: ${line.slice(0, 100)}`);
    const [, time = "", stream = "", tag = "", rest = ""] = match;
    assert.ok(!Number.isNaN(Date.parse(time)), `not a time: ${time}`);
    return { time, stream, tag, text: rest };
  });
}

/** Lines with their pieces joined. */
export function joined(lines: readonly LogLine[], stream: string): string[] {
  const texts: string[] = [];
  let open = "";
  for (const line of lines.filter((l) => l.stream === stream)) {
    open += line.text;
    if (line.tag === "P") continue;
    texts.push(open);
    open = "";
  }
  return open === "" ? texts : [...texts, open];
}

/** 0, 1, 2 ... and at last "end". */
export function assertCounted(lines: readonly string[]): void {
  assert.deepEqual(lines, [...Array.from({ length: lines.length - 1 }, (_, i) => String(i)), "end"]);
}

export function logContract(kit: ContractKit): void {
  test("a log has every line once and in order, long ones in pieces, as soon as the container is seen to have ended", async () => {
    await kit.withSandbox(async (given) => {
      const script = [
        "i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done",
        "head -c 40000 /dev/zero | tr '\\0' x; echo",
        "printf 'å\\\\ \"quoted\"\\t\\n'",
        "printf unfinished",
      ].join("; ");
      const id = await start(given, containerConfig("main", ["/bin/sh", "-c", script]));
      await exited(given.runtime, id);
      const lines = joined(parseLog(await readFile(join(given.logs, "main.log"), "utf8")), "stdout");
      const want = [
        ...Array.from({ length: 5000 }, (_, i) => `line ${i}`),
        "x".repeat(40_000),
        'å\\ "quoted"\t',
        "unfinished",
      ];
      assert.deepEqual(lines, want);
    });
  });

  test("reopenContainerLog() goes on in a new file after the old one was renamed, and no line is lost or repeated", async () => {
    await kit.withSandbox(async (given) => {
      const script = "i=0; until test -e /end; do echo $i; i=$((i+1)); usleep 5000; done; echo end";
      const id = await start(given, containerConfig("main", ["/bin/sh", "-c", script]));
      const path = join(given.logs, "main.log");
      const files = [path];
      for (let round = 1; round <= 3; round++) {
        await until("lines", async () => ((await readFile(path, "utf8")).length > 100 ? true : undefined));
        await rename(path, `${path}.${round}`);
        await given.runtime.reopenContainerLog(id);
        files.splice(-1, 0, `${path}.${round}`);
      }
      await say(given.runtime, id, "touch /end");
      await exited(given.runtime, id);
      const texts = await Promise.all(files.map((file) => readFile(file, "utf8")));
      assertCounted(joined(parseLog(texts.join("")), "stdout"));
    });
  });

  test("a terminal's output is one stream in the log", async () => {
    await kit.withSandbox(async (given) => {
      const config = containerConfig("main", ["/bin/sh", "-c", "echo out; echo err >&2; test -t 1 && echo tty"], {
        tty: true,
      });
      await exited(given.runtime, await start(given, config));
      const lines = parseLog(await readFile(join(given.logs, "main.log"), "utf8"));
      assert.deepEqual(
        lines.map((l) => [l.stream, l.tag, l.text.trimEnd()]),
        [
          ["stdout", "F", "out"],
          ["stdout", "F", "err"],
          ["stdout", "F", "tty"],
        ],
      );
    });
  });
}
