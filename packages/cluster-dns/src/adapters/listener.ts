/** What both servers need: where, whom to ask, when to stop. */
import type { Logger } from "@knarr/daemon/logger.ts";

export interface Listener {
  readonly host: string;
  readonly port: number;
  /** Must not throw and must not reject. */
  readonly handle: (message: Buffer, protocol: "udp" | "tcp") => Buffer | Promise<Buffer> | undefined;
  readonly signal: AbortSignal;
  readonly log: Logger;
}
