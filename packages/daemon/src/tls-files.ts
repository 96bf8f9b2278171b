/**
 * Certificates and keys that live in files and may be replaced while the daemon runs.
 */
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import type { Clock } from "./clock.ts";
import type { Logger } from "./logger.ts";

export interface TlsFilePaths {
  readonly certFile: string;
  readonly keyFile: string;
  /** CA bundle that client certificates must chain to. */
  readonly clientCaFile?: string | undefined;
}

export interface TlsMaterial {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca?: Buffer;
}

/** Reads the files and checks that certificate and key belong together; an error names the files. */
export async function loadTlsFiles(paths: TlsFilePaths): Promise<TlsMaterial> {
  const [cert, key, ca] = await Promise.all([
    readFile(paths.certFile),
    readFile(paths.keyFile),
    paths.clientCaFile === undefined ? undefined : readFile(paths.clientCaFile),
  ]);
  const material: TlsMaterial = { cert, key, ...(ca === undefined ? {} : { ca }) };
  try {
    createSecureContext({ cert, key, ...(ca === undefined ? {} : { ca }) });
  } catch (cause) {
    throw new Error(`${paths.certFile} and ${paths.keyFile} are not a usable certificate and key`, { cause });
  }
  return material;
}

export interface WatchTlsOptions {
  readonly paths: TlsFilePaths;
  readonly current: TlsMaterial;
  readonly clock: Clock;
  readonly log: Logger;
  /** How often the files are read again; 60 s when absent, as upstream's dynamic certificates. */
  readonly intervalMs?: number;
}

/**
 * Reads the files again at an interval and calls `onChange` when their bytes differ; runs until the signal aborts.
 * Half-written or mismatched files are logged and tried again at the next turn, the old material staying in use.
 */
export async function watchTlsFiles(
  options: WatchTlsOptions,
  onChange: (material: TlsMaterial) => void,
  signal: AbortSignal,
): Promise<void> {
  let current = options.current;
  while (!signal.aborted) {
    await options.clock.sleep(options.intervalMs ?? 60_000, signal);
    let next: TlsMaterial;
    try {
      next = await loadTlsFiles(options.paths);
    } catch (error) {
      options.log.warn(
        { err: error, certFile: options.paths.certFile },
        "certificate files not usable, keeping the old",
      );
      continue;
    }
    if (next.cert.equals(current.cert) && next.key.equals(current.key) && sameCa(next.ca, current.ca)) continue;
    current = next;
    onChange(next);
    options.log.info({ certFile: options.paths.certFile }, "certificate reloaded");
  }
}

function sameCa(a: Buffer | undefined, b: Buffer | undefined): boolean {
  return a === undefined || b === undefined ? a === b : a.equals(b);
}
