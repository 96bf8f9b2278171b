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

/** Reads the query of a log request; throws an Error whose message names the parameter. */
export function parseLogOptions(query: URLSearchParams, nowMs: number): LogOptions {
  const bool = (name: string) => ["true", "1", "t", "T", "TRUE", "True"].includes(query.get(name) ?? "");
  const count = (name: string, min: number) => {
    const text = query.get(name);
    if (text === null || text === "") return undefined;
    const value = Number(text);
    if (!Number.isInteger(value) || value < min)
      throw new Error(`${name}: Invalid value: ${text}: must be a whole number of at least ${min}`);
    return value;
  };
  const sinceSeconds = count("sinceSeconds", 1);
  const sinceTime = query.get("sinceTime");
  const parsed = sinceTime === null || sinceTime === "" ? undefined : Date.parse(sinceTime);
  if (parsed !== undefined && Number.isNaN(parsed))
    throw new Error(`sinceTime: Invalid value: ${sinceTime}: must be RFC 3339`);
  const stream = query.get("stream") ?? "All";
  return {
    follow: bool("follow"),
    previous: bool("previous"),
    timestamps: bool("timestamps"),
    tailLines: count("tailLines", 0),
    limitBytes: count("limitBytes", 1),
    sinceMs: sinceSeconds === undefined ? parsed : nowMs - sinceSeconds * 1000,
    stream: stream === "Stdout" || stream === "Stderr" ? stream : "All",
  };
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
    if (timestamps && this.#atLineStart) parts.push(Buffer.from(`${line.timestamp} `));
    parts.push(line.content);
    if (!line.partial) parts.push(Buffer.from("\n"));
    this.#atLineStart = !line.partial;
    const whole = Buffer.concat(parts);
    const sent = whole.length > this.#left ? whole.subarray(0, this.#left) : whole;
    this.#left -= sent.length;
    return sent;
  }
}
