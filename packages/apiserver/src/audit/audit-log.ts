/**
 * The audit log file: one line an event, rotated by size, old files removed by number and age and compressed when asked to. Owns its file
 * and the rotated copies beside it, named as upstream's: audit-2026-01-02T03-04-05.678.log
 */
import { createReadStream, createWriteStream, renameSync, statSync, type WriteStream } from "node:fs";
import { readdir, stat, unlink } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { AuditSink } from "./auditor.ts";

export interface AuditLogOptions {
  /** "-" writes to standard output. */
  readonly path: string;
  /** Rotation at this size in MiB; 0 never. */
  readonly maxSizeMiB: number;
  /** Rotated files kept; 0 keeps all. */
  readonly maxBackups: number;
  /** Days that rotated files are kept; 0 for ever. */
  readonly maxAgeDays: number;
  readonly compress: boolean;
  /** "json", or "legacy": one line of text. */
  readonly format: string;
  /** "blocking-strict" answers a request only when its event is in the file. */
  readonly mode: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Lines waiting for a slow disk beyond which events are dropped, and counted. */
const MAX_BUFFERED_BYTES = 16 * 1024 * 1024;

export class AuditLog implements AuditSink {
  readonly #options: AuditLogOptions;
  #stream: NodeJS.WritableStream & { writableLength: number };
  #sizeBytes = 0;
  #dropped = 0;
  #lines = "";
  /** Who waits for these lines to be in the file. */
  readonly #strict: ((error: Error | null | undefined) => void)[] = [];

  constructor(options: AuditLogOptions) {
    this.#options = options;
    this.#stream = options.path === "-" ? process.stdout : this.#open();
  }

  /** Events lost because the disk could not keep up. */
  get dropped(): number {
    return this.#dropped;
  }

  write(event: string): Promise<void> | void {
    if (this.#stream.writableLength > MAX_BUFFERED_BYTES) {
      this.#dropped += 1;
      return;
    }
    const line = `${this.#options.format === "legacy" ? legacyLine(event) : event}\n`;
    // One write for all events of a turn of the event loop: the write costs more than the event.
    if (this.#lines === "") setImmediate(() => this.#flush());
    this.#lines += line;
    if (this.#options.mode !== "blocking-strict") return;
    return new Promise((resolve, reject) => {
      this.#strict.push((error) => (error == null ? resolve() : reject(error)));
    });
  }

  #flush(): void {
    const lines = this.#lines;
    if (lines === "") return;
    this.#lines = "";
    const waiting = this.#strict.splice(0);
    this.#stream.write(lines, (error) => {
      for (const done of waiting) done(error);
    });
    this.#sizeBytes += Buffer.byteLength(lines);
    const limit = this.#options.maxSizeMiB * 1024 * 1024;
    if (limit > 0 && this.#sizeBytes >= limit && this.#options.path !== "-") this.#rotate();
  }

  /** Flushes and closes. */
  async close(): Promise<void> {
    this.#flush();
    if (this.#options.path === "-") return;
    await new Promise<void>((resolve) => (this.#stream as WriteStream).end(() => resolve()));
  }

  #open(): WriteStream {
    const { path, log } = this.#options;
    try {
      this.#sizeBytes = statSync(path).size;
    } catch {
      // No file yet.
      this.#sizeBytes = 0;
    }
    const stream = createWriteStream(path, { flags: "a", mode: 0o600 });
    stream.on("error", (error) => log.error({ err: error }, "audit log not writable"));
    return stream;
  }

  #rotate(): void {
    const { path, clock, log } = this.#options;
    (this.#stream as WriteStream).end();
    const stamp = new Date(clock.now()).toISOString().replace(/:/g, "-").replace("Z", "");
    const extension = extname(path);
    const rotated = join(dirname(path), `${basename(path, extension)}-${stamp}${extension}`);
    try {
      renameSync(path, rotated);
    } catch (error) {
      log.error({ err: error }, "audit log not rotated");
    }
    this.#stream = this.#open();
    this.#afterRotation(rotated).catch((error: unknown) => log.warn({ err: error }, "rotated audit logs not tidied"));
  }

  async #afterRotation(rotated: string): Promise<void> {
    if (this.#options.compress) {
      await pipeline(createReadStream(rotated), createGzip(), createWriteStream(`${rotated}.gz`, { mode: 0o600 }));
      await unlink(rotated);
    }
    await this.#removeOld();
  }

  async #removeOld(): Promise<void> {
    const { path, maxBackups, maxAgeDays, clock } = this.#options;
    const extension = extname(path);
    const prefix = `${basename(path, extension)}-`;
    const isRotated = (name: string) => name.startsWith(prefix) && (name.endsWith(extension) || name.endsWith(".gz"));
    const names = (await readdir(dirname(path))).filter(isRotated).sort();
    const surplus = maxBackups === 0 ? 0 : Math.max(0, names.length - maxBackups);
    for (const [index, name] of names.entries()) {
      const file = join(dirname(path), name);
      const isOld = maxAgeDays > 0 && clock.now() - (await stat(file)).mtimeMs > maxAgeDays * DAY_MS;
      if (index < surplus || isOld) await unlink(file);
    }
  }
}

const DAY_MS = 86_400_000;

/** Source: k8s.io/apiserver/pkg/audit/format.go */
function legacyLine(text: string): string {
  const event = JSON.parse(text) as {
    requestReceivedTimestamp: string;
    auditID: string;
    stage: string;
    verb: string;
    requestURI: string;
    sourceIPs?: string[];
    user: { username?: string; groups?: string[] };
    impersonatedUser?: { username?: string; groups?: string[] };
    objectRef?: { namespace?: string };
    responseStatus?: { code?: number };
  };
  const quoted = (value: string | undefined, none: string) =>
    value === undefined || value === "" ? none : JSON.stringify(value);
  const list = (values: readonly string[] | undefined, none: string) =>
    values === undefined || values.length === 0 ? none : values.map((value) => JSON.stringify(value)).join(",");
  const fields = [
    `id="${event.auditID}"`,
    `stage="${event.stage}"`,
    `ip="${event.sourceIPs?.[0] ?? "<unknown>"}"`,
    `method="${event.verb}"`,
    `user=${quoted(event.user.username, '"<none>"')}`,
    `groups=${list(event.user.groups, '"<none>"')}`,
    `as=${quoted(event.impersonatedUser?.username, '"<self>"')}`,
    `asgroups=${list(event.impersonatedUser?.groups, '"<lookup>"')}`,
    `user-agent=${quoted((event as { userAgent?: string }).userAgent, '""')}`,
    `namespace=${quoted(event.objectRef?.namespace, '"<none>"')}`,
    `uri=${JSON.stringify(event.requestURI)}`,
    `response="${event.responseStatus?.code ?? "<deferred>"}"`,
  ];
  return `${event.requestReceivedTimestamp} AUDIT: ${fields.join(" ")}`;
}
