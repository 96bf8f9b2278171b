/**
 * Docker's json-file lines as CRI's log lines. Pure.
 *
 *   {"log":"hello\n","stream":"stdout","time":"2026-01-02T03:04:05.678901234Z"}
 *   2026-01-02T03:04:05.678901234Z stdout F hello
 *
 * Docker cuts long lines into pieces of 16 KiB; a piece that does not end its line is tagged P, the last one F.
 * Source: design-proposals/node/kubelet-cri-logging: "TIMESTAMP STREAM TAG LOG"
 */

interface EngineLine {
  readonly log?: unknown;
  readonly stream?: unknown;
  readonly time?: unknown;
}

function parse(text: string): EngineLine | undefined {
  try {
    return JSON.parse(text) as EngineLine;
  } catch {
    return undefined;
  }
}

const START = '{"log":';

/** "" for what is no log line. An engine that was killed in the middle of one leaves a torn line: its good end is kept. */
export function criLogLine(text: string): string {
  let line = parse(text);
  if (line === undefined) {
    const start = text.lastIndexOf(START);
    if (start > 0) line = parse(text.slice(start));
  }
  if (line === undefined || typeof line.log !== "string" || typeof line.time !== "string") return "";
  const stream = line.stream === "stderr" ? "stderr" : "stdout";
  const { log } = line;
  return log.endsWith("\n") ? `${line.time} ${stream} F ${log}` : `${line.time} ${stream} P ${log}\n`;
}

export interface Converted {
  readonly text: Buffer;
  /** How many bytes of the input were whole lines. */
  readonly consumed: number;
}

const NEWLINE = 0x0a;

/** Converts the whole lines of a piece of a json-file. */
export function convertLines(input: Buffer): Converted {
  const end = input.lastIndexOf(NEWLINE);
  if (end < 0) return { text: Buffer.alloc(0), consumed: 0 };
  const lines = input.toString("utf8", 0, end).split("\n");
  return { text: Buffer.from(lines.map(criLogLine).join("")), consumed: end + 1 };
}
