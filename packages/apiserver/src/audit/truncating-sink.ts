/**
 * Cuts down events that are too large for what stands behind: first the bodies go, then the event itself.
 * Source: k8s.io/apiserver/plugin/pkg/audit/truncate
 */
import { parseJson, stringifyJson } from "@knarr/apimachinery/json.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { AuditSink } from "./auditor.ts";

const ANNOTATION = "audit.k8s.io/truncated";

interface Truncatable {
  requestObject?: unknown;
  responseObject?: unknown;
  annotations?: Record<string, string>;
}

export class TruncatingSink implements AuditSink {
  readonly #inner: AuditSink;
  readonly #maxBytes: number;
  readonly #log: Logger;

  constructor(inner: AuditSink, { maxBytes, log }: { readonly maxBytes: number; readonly log: Logger }) {
    this.#inner = inner;
    this.#maxBytes = maxBytes;
    this.#log = log;
  }

  write(line: string): Promise<void> | void {
    if (this.#fits(line)) return this.#inner.write(line);
    const event = parseJson(line) as Truncatable;
    delete event.requestObject;
    delete event.responseObject;
    event.annotations = { ...event.annotations, [ANNOTATION]: "true" };
    const shorter = stringifyJson(event);
    if (this.#fits(shorter)) return this.#inner.write(shorter);
    this.#log.error({ bytes: Buffer.byteLength(line) }, "audit event is too large, it is dropped");
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  /** Most lines are short enough whatever their characters. */
  #fits(line: string): boolean {
    return line.length * 3 <= this.#maxBytes || Buffer.byteLength(line) <= this.#maxBytes;
  }
}
