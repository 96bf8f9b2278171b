/** Encryption at rest from --encryption-provider-config; and the file read again while the server runs. */
import { readFile } from "node:fs/promises";
import type { KindDescriptor } from "@knarr/api/descriptor.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import { UsageError } from "@knarr/daemon/flags.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { Config } from "../config.ts";
import type { KeyValueStore } from "../storage/key-value.ts";
import { EncryptionConfigError, parseEncryptionConfig } from "./configuration.ts";
import { EncryptedStore } from "./encrypted-store.ts";

/** Source: k8s.io/apiserver server/options/encryptionconfig/controller: once a minute. */
const RELOAD_MS = 60_000;

/** undefined without the flag. Throws UsageError for a file that cannot be used. */
export async function buildEncryption(
  config: Config,
  inner: KeyValueStore,
  kinds: readonly KindDescriptor[],
): Promise<EncryptedStore | undefined> {
  const path = config.encryptionProviderConfig;
  if (path === "") return undefined;
  try {
    const parsed = parseEncryptionConfig(await readFile(path, "utf8"));
    return new EncryptedStore(inner, { config: parsed, root: config.etcdPrefix, kinds });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(`--encryption-provider-config ${path}: ${why}`);
  }
}

/** Until the signal aborts. A file that became unusable is logged, and the old one stays. */
export async function reloadEncryption(
  store: Pick<EncryptedStore, "reconfigure">,
  tools: { readonly path: string; readonly clock: Clock; readonly log: Logger; readonly intervalMs?: number },
  signal: AbortSignal,
): Promise<void> {
  const { path, clock, log } = tools;
  let last = await readFile(path, "utf8");
  while (!signal.aborted) {
    try {
      await clock.sleep(tools.intervalMs ?? RELOAD_MS, signal);
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    try {
      const text = await readFile(path, "utf8");
      if (text === last) continue;
      store.reconfigure(parseEncryptionConfig(text));
      last = text;
      log.info({ path }, "encryption configuration reloaded");
    } catch (error) {
      const isKnown = error instanceof EncryptionConfigError || (error instanceof Error && "code" in error);
      if (!isKnown) throw error;
      log.warn({ err: error, path }, "encryption configuration not usable, keeping the old");
    }
  }
}
