/**
 * The audit log: one JSON line per request, level Metadata, stage ResponseComplete. Bodies and headers never appear.
 * Owns its file and the rotated copies beside it.
 *
 * Source: k8s.io/apiserver/pkg/apis/audit/v1; a policy file and other levels come with the issue on audit.
 */
import { createWriteStream, renameSync, statSync, type WriteStream } from "node:fs";
import { readdir, unlink } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import { microTime } from "@knarr/apimachinery/time.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { RequestContext } from "../http/request-context.ts";

export interface AuditLogOptions {
  /** "-" writes to standard output. */
  readonly path: string;
  /** Rotation at this size in MiB; 0 never. */
  readonly maxSizeMiB: number;
  /** Rotated files kept; 0 keeps all. */
  readonly maxBackups: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Lines waiting for a slow disk beyond which events are dropped, and counted. */
const MAX_BUFFERED_BYTES = 16 * 1024 * 1024;

export class AuditLog {
  readonly #options: AuditLogOptions;
  #stream: NodeJS.WritableStream & { writableLength: number };
  #sizeBytes = 0;
  #dropped = 0;
  #lines = "";

  constructor(options: AuditLogOptions) {
    this.#options = options;
    this.#stream = options.path === "-" ? process.stdout : this.#open();
  }

  /** Events lost because the disk could not keep up. */
  get dropped(): number {
    return this.#dropped;
  }

  responseComplete(context: RequestContext): void {
    if (this.#stream.writableLength > MAX_BUFFERED_BYTES) {
      this.#dropped += 1;
      return;
    }
    // One write for all events of a turn of the event loop: the write costs more than the event.
    if (this.#lines === "") setImmediate(() => this.#flush());
    this.#lines += `${JSON.stringify(auditEvent(context, this.#options.clock.now()))}\n`;
  }

  #flush(): void {
    const lines = this.#lines;
    if (lines === "") return;
    this.#lines = "";
    this.#stream.write(lines);
    this.#sizeBytes += lines.length;
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
    this.#removeOld().catch((error: unknown) => log.warn({ err: error }, "old audit logs not removed"));
  }

  async #removeOld(): Promise<void> {
    const { path, maxBackups } = this.#options;
    if (maxBackups === 0) return;
    const extension = extname(path);
    const prefix = `${basename(path, extension)}-`;
    const names = (await readdir(dirname(path))).filter((n) => n.startsWith(prefix) && n.endsWith(extension)).sort();
    for (const name of names.slice(0, Math.max(0, names.length - maxBackups))) await unlink(join(dirname(path), name));
  }
}

function auditEvent(context: RequestContext, nowMs: number): object {
  const { info, user } = context;
  const query = context.query.toString();
  return {
    kind: "Event",
    apiVersion: "audit.k8s.io/v1",
    level: "Metadata",
    auditID: context.auditId,
    stage: "ResponseComplete",
    requestURI: query === "" ? context.path : `${context.path}?${query}`,
    verb: info.verb,
    user: {
      ...(user === undefined ? {} : { username: user.name }),
      ...(user === undefined || user.uid === "" ? {} : { uid: user.uid }),
      ...(user === undefined ? {} : { groups: user.groups }),
      ...(user === undefined || Object.keys(user.extra).length === 0 ? {} : { extra: user.extra }),
    },
    sourceIPs: [context.request.socket?.remoteAddress ?? ""].filter((ip) => ip !== ""),
    userAgent: context.header("user-agent"),
    ...(info.isResourceRequest
      ? {
          objectRef: {
            resource: info.resource,
            ...(info.namespace === "" ? {} : { namespace: info.namespace }),
            ...(info.name === "" ? {} : { name: info.name }),
            ...(info.group === "" ? {} : { apiGroup: info.group }),
            apiVersion: info.version,
            ...(info.subresource === "" ? {} : { subresource: info.subresource }),
          },
        }
      : {}),
    responseStatus: { metadata: {}, code: context.statusCode },
    requestReceivedTimestamp: microTime(context.receivedAtMs),
    stageTimestamp: microTime(nowMs),
    annotations: Object.fromEntries(context.auditAnnotations),
  };
}
