/** The host's resolvers, without ourselves. Source: resolv.conf(5) */
import { readFile, stat } from "node:fs/promises";
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { Upstream } from "./exchange.ts";

const POLL_MS = 5_000;

/** Addresses after "nameserver"; everything else in the file is for stub resolvers. */
export function parseResolvConf(text: string): Upstream[] {
  return text.split("\n").flatMap((line) => {
    const host = /^\s*nameserver\s+([^\s#;]+)/.exec(line)?.[1]?.replace(/%.*$/, "") ?? "";
    return isIP(host) === 0 ? [] : [{ host, port: 53 }];
  });
}

/** Leaves out every address on which we answer ourselves. */
export function withoutSelf(upstreams: readonly Upstream[], listen: readonly Upstream[]): Upstream[] {
  const own = new Set(Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map((a) => a.address)));
  const isLocal = (host: string) => own.has(host) || host.startsWith("127.") || host === "::1";
  const isWildcard = (host: string) => host === "0.0.0.0" || host === "::";
  return upstreams.filter(
    (upstream) =>
      !listen.some(
        (at) =>
          at.port === upstream.port && (at.host === upstream.host || (isWildcard(at.host) && isLocal(upstream.host))),
      ),
  );
}

/** Hands on the file's servers now and whenever it changes, until the signal aborts. An unreadable file has none. */
export async function watchResolvConf(
  path: string,
  changed: (upstreams: Upstream[]) => void,
  context: { readonly clock: Clock; readonly log: Logger; readonly signal: AbortSignal },
): Promise<void> {
  let seen = "";
  for (;;) {
    try {
      const { mtimeMs, ino, size } = await stat(path);
      const version = `${mtimeMs} ${ino} ${size}`;
      if (version !== seen) {
        changed(parseResolvConf(await readFile(path, "utf8")));
        seen = version;
      }
    } catch (error) {
      // The file may be replaced just now; until it is back the servers read before stay.
      if (seen !== "missing") context.log.warn({ path, err: error }, "can't read the resolver configuration");
      seen = "missing";
    }
    await context.clock.sleep(POLL_MS, context.signal);
  }
}
