/** Logs of the local cluster's own processes: `knarr logs component/kubelet@node-1`. */
import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { clusterPaths } from "@knarr/cluster/paths.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import { type CliContext, CliError } from "./verb.ts";

const POLL_MS = 200;
const CHUNK_BYTES = 64 * 1024;

export interface ComponentLogOptions {
  readonly dataDir: string;
  readonly follow: boolean;
  /** -1 for all. */
  readonly tailLines: number;
  /** Only lines stamped later than this; 0 for all. Lines without a stamp go with the one before. */
  readonly sinceMs: number;
}

/** Prints the log of one component, named as `knarr status` does. Follows over rotation (copied aside, then cut). */
export async function printComponentLog(
  name: string,
  options: ComponentLogOptions,
  context: CliContext,
): Promise<void> {
  const { logs } = clusterPaths(options.dataDir);
  const file = join(logs, `${name}.log`);
  const names = (await readdir(logs).catch(() => [])).filter((f) => f.endsWith(".log")).map((f) => f.slice(0, -4)); // no cluster
  if (names.length === 0) throw new CliError(`no cluster in ${options.dataDir}; "knarr up" makes one`);
  if (!names.includes(name)) throw new CliError(`no component ${name}: must be one of ${names.sort().join(", ")}`);
  let offset = await printEnd(file, options, context);
  while (options.follow) {
    await systemClock.sleep(POLL_MS, context.signal);
    const { size } = await stat(file);
    if (size < offset) offset = 0;
    if (size > offset) offset = await copyFrom(file, offset, size, context);
  }
}

/** Prints what is there now and returns where it ended. */
async function printEnd(
  file: string,
  { tailLines, sinceMs }: ComponentLogOptions,
  context: CliContext,
): Promise<number> {
  const { size } = await stat(file);
  let start = tailLines < 0 ? 0 : await startOfLastLines(file, size, tailLines);
  if (sinceMs > 0) start = Math.max(start, await startOfLinesSince(file, sinceMs));
  return copyFrom(file, start, size, context);
}

async function copyFrom(file: string, start: number, end: number, { stdout }: CliContext): Promise<number> {
  const handle = await open(file);
  try {
    const buffer = Buffer.alloc(CHUNK_BYTES);
    for (let offset = start; offset < end; ) {
      const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, end - offset), offset);
      if (bytesRead === 0) return offset; // cut meanwhile
      stdout.write(Buffer.from(buffer.subarray(0, bytesRead)));
      offset += bytesRead;
    }
    return end;
  } finally {
    await handle.close();
  }
}

async function startOfLastLines(file: string, size: number, lines: number): Promise<number> {
  const handle = await open(file);
  try {
    const buffer = Buffer.alloc(CHUNK_BYTES);
    // The newline that ends the last line ends no line before it.
    let missing = lines + 1;
    for (let end = size; end > 0; ) {
      const start = Math.max(0, end - buffer.length);
      const { bytesRead } = await handle.read(buffer, 0, end - start, start);
      for (let at = bytesRead - 1; at >= 0; at--) {
        if (buffer[at] === 0x0a && --missing === 0) return start + at + 1;
      }
      end = start;
    }
    return 0;
  } finally {
    await handle.close();
  }
}

/** Daemons of ours stamp `"time":EPOCH_MS` or RFC 3339, etcd `"ts":"..."`, containerd `time="..."`. */
async function startOfLinesSince(file: string, sinceMs: number): Promise<number> {
  const handle = await open(file);
  let offset = 0;
  try {
    for await (const line of handle.readLines()) {
      const stamp = /"?(?:time|ts)"?[:=](\d{13}|"[^"]+")/.exec(line)?.[1];
      const atMs = stamp === undefined ? 0 : stamp.startsWith('"') ? Date.parse(stamp.slice(1, -1)) : Number(stamp);
      if (atMs >= sinceMs) return offset;
      offset += Buffer.byteLength(line) + 1;
    }
    return offset;
  } finally {
    await handle.close();
  }
}
