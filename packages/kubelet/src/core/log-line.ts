/**
 * Lines of container logs as runtimes write them. Pure.
 *   2026-01-02T03:04:05.123456789Z stdout F a whole line
 *   2026-01-02T03:04:05.123456789Z stderr P the first part of a long one
 * Source: CRI logging, k8s.io/design-proposals kubelet-cri-logging
 */

export interface LogLine {
  /** As written, with nanoseconds. */
  readonly timestamp: string;
  readonly stream: "stdout" | "stderr";
  /** The line goes on in the next entry: it has no newline. */
  readonly partial: boolean;
  readonly content: Buffer;
}

const SPACE = 0x20;

/** `line` is without its newline; undefined for what is no log entry. */
export function parseLogLine(line: Buffer): LogLine | undefined {
  const first = line.indexOf(SPACE);
  const second = first < 0 ? -1 : line.indexOf(SPACE, first + 1);
  if (second < 0) return undefined;
  const third = line.indexOf(SPACE, second + 1);
  const stream = line.toString("ascii", first + 1, second);
  if (stream !== "stdout" && stream !== "stderr") return undefined;
  const tags = line.toString("ascii", second + 1, third < 0 ? line.length : third);
  return {
    timestamp: line.toString("ascii", 0, first),
    stream,
    partial: tags.split(":")[0] === "P",
    content: third < 0 ? Buffer.alloc(0) : line.subarray(third + 1),
  };
}

export interface LogOptions {
  readonly follow: boolean;
  readonly previous: boolean;
  readonly timestamps: boolean;
  readonly tailLines: number | undefined;
  readonly limitBytes: number | undefined;
  /** Epoch milliseconds; older entries are left out. */
  readonly sinceMs: number | undefined;
  readonly stream: "All" | "Stdout" | "Stderr";
}

/** A query that is no log request: 400 when it can't be read, 422 when what it asks for makes no sense. */
export class LogQueryError extends Error {
  readonly status: 400 | 422;
  constructor(status: 400 | 422) {
    super(status === 400 ? '{"message": "Unable to decode query."}' : '{"message": "Invalid request."}');
    this.status = status;
  }
}

const STREAMS = ["All", "Stdout", "Stderr"] as const;

/**
 * Reads the query of a log request; throws LogQueryError.
 * Source: pkg/kubelet/server getContainerLogs, pkg/apis/core/v1/validation ValidatePodLogOptions
 */
export function parseLogOptions(query: URLSearchParams, nowMs: number): LogOptions {
  // As Go's conversion of queries: everything but "0" and "false" is true.
  const bool = (name: string) => query.has(name) && !/^(0|false)$/i.test(query.get(name) ?? "");
  const count = (text: string | null, min: number) => {
    if (text === null || text === "") return undefined;
    if (!/^[+-]?\d{1,18}$/.test(text)) throw new LogQueryError(400);
    if (Number(text) < min) throw new LogQueryError(422);
    return Number(text);
  };
  // The name that "tailLines" had once.
  const tail = query.get("tail") ?? "";
  const lines = tail === "" ? query.get("tailLines") : tail === "all" ? null : tail;
  const sinceSeconds = count(query.get("sinceSeconds"), 1);
  const sinceTime = query.get("sinceTime") ?? "";
  const parsed = sinceTime === "" ? undefined : Date.parse(sinceTime);
  if (parsed !== undefined && Number.isNaN(parsed)) throw new LogQueryError(400);
  if (parsed !== undefined && sinceSeconds !== undefined) throw new LogQueryError(422);
  const tailLines = count(lines, 0);
  const asked = query.get("stream") ?? "All";
  const stream = STREAMS.find((one) => one === asked);
  // Which lines are of one stream is not known from the end backwards.
  if (stream === undefined || (stream !== "All" && tailLines !== undefined)) throw new LogQueryError(422);
  return {
    follow: bool("follow"),
    previous: bool("previous"),
    timestamps: bool("timestamps"),
    tailLines,
    limitBytes: count(query.get("limitBytes"), 1),
    sinceMs: sinceSeconds === undefined ? parsed : nowMs - sinceSeconds * 1000,
    stream,
  };
}

/** With all nine digits of the second's fraction: runtimes leave zeros at the end out. */
function fixedNanoseconds(timestamp: string): string {
  const parts = /^([^.]{19})(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(timestamp);
  return parts === null ? timestamp : `${parts[1]}.${(parts[2] ?? "").padEnd(9, "0")}${parts[3]}`;
}

/** Turns entries into what the client sees; keeps where in a line and how far in the byte limit it is. */
export class LogFormatter {
  readonly #options: LogOptions;
  #left: number;
  #atLineStart = true;

  constructor(options: LogOptions) {
    this.#options = options;
    this.#left = options.limitBytes ?? Number.POSITIVE_INFINITY;
  }

  /** The byte limit is used up. */
  get done(): boolean {
    return this.#left <= 0;
  }

  /** The bytes to send for an entry; undefined when it is left out. */
  format(line: LogLine): Buffer | undefined {
    const { sinceMs, stream, timestamps } = this.#options;
    if (sinceMs !== undefined && Date.parse(line.timestamp) < sinceMs) return undefined;
    if (stream !== "All" && stream.toLowerCase() !== line.stream) return undefined;
    const parts: Buffer[] = [];
    if (timestamps && this.#atLineStart) parts.push(Buffer.from(`${fixedNanoseconds(line.timestamp)} `));
    parts.push(line.content);
    if (!line.partial) parts.push(Buffer.from("\n"));
    this.#atLineStart = !line.partial;
    const whole = Buffer.concat(parts);
    const sent = whole.length > this.#left ? whole.subarray(0, this.#left) : whole;
    this.#left -= sent.length;
    return sent;
  }
}
