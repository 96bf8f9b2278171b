/** Reads a container's log file from its end or its start, and follows it across rotations. */
import { watch } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { LogFormatter, type LogOptions, parseLogLine } from "../core/log-line.ts";

const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 0x0a;
/** Changes are notified; this is for what is not, and for noticing that the container has ended. */
const POLL_MS = 500;

export interface ReadLogOptions extends LogOptions {
  readonly signal: AbortSignal;
  /** Asked while following: more may come. */
  readonly isRunning: () => Promise<boolean>;
}

/** Yields what the client is to see. Throws ENOENT when there is no log. */
export async function* readLog(path: string, options: ReadLogOptions): AsyncGenerator<Buffer> {
  const formatter = new LogFormatter(options);
  let file = await open(path);
  // The file that the log goes on in, and whether the runtime has let go of the one before.
  let next: FileHandle | undefined;
  let isLeft = false;
  try {
    let offset = await startOffset(file, options.tailLines);
    let rest: Buffer = Buffer.alloc(0);
    while (!options.signal.aborted && !formatter.done) {
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, offset);
      if (bytesRead > 0) {
        offset += bytesRead;
        const { lines, tail } = cut(rest, buffer.subarray(0, bytesRead));
        rest = tail;
        const out = formatAll(formatter, lines);
        if (out.length > 0) yield out;
        continue;
      }
      if (!options.follow) {
        const last = unfinished(formatter, rest);
        if (last !== undefined) yield last;
        return;
      }
      if (next !== undefined && isLeft) {
        await file.close();
        [file, next, offset] = [next, undefined, 0];
        continue;
      }
      next ??= await rotated(path, file);
      const running = await options.isRunning();
      if (next === undefined) {
        // What was written between the last read and the end is still to be read once.
        if (!running && (await file.stat()).size <= offset) return;
      } else {
        // The runtime writes to the old file until it has opened the new one: that is read to its end first.
        isLeft = !running || (await next.stat()).size > 0;
        if (isLeft) continue;
      }
      await changeOf(path, options.signal);
    }
  } finally {
    await file.close();
    await next?.close();
  }
}

function cut(rest: Buffer, chunk: Buffer): { lines: Buffer[]; tail: Buffer } {
  const all = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
  const lines: Buffer[] = [];
  let start = 0;
  for (let end = all.indexOf(NEWLINE, start); end >= 0; end = all.indexOf(NEWLINE, start)) {
    lines.push(all.subarray(start, end));
    start = end + 1;
  }
  return { lines, tail: Buffer.from(all.subarray(start)) };
}

function formatAll(formatter: LogFormatter, lines: readonly Buffer[]): Buffer {
  const parts: Buffer[] = [];
  for (const line of lines) {
    const parsed = parseLogLine(line);
    const text = parsed === undefined ? undefined : formatter.format(parsed);
    if (text !== undefined) parts.push(text);
    if (formatter.done) break;
  }
  return Buffer.concat(parts);
}

/** An entry that the runtime did not write to its end (it died, the disk was full) is shown as far as it goes. */
function unfinished(formatter: LogFormatter, rest: Buffer): Buffer | undefined {
  const parsed = rest.length === 0 ? undefined : parseLogLine(rest);
  return parsed === undefined ? undefined : formatter.format({ ...parsed, partial: true });
}

/** Where the last `tailLines` lines begin, found from the end backwards. */
async function startOffset(file: FileHandle, tailLines: number | undefined): Promise<number> {
  if (tailLines === undefined) return 0;
  const { size } = await file.stat();
  if (tailLines === 0) return size;
  let seen = 0;
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - CHUNK_BYTES);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(end - start), 0, end - start, start);
    for (let i = bytesRead - 1; i >= 0; i--) {
      // The newline that ends the file ends its last line; it begins none.
      if (buffer[i] !== NEWLINE || start + i === size - 1) continue;
      if (++seen === tailLines) return start + i + 1;
    }
    end = start;
  }
  return 0;
}

/** The new file, if the path names another one than is open. */
async function rotated(path: string, file: FileHandle): Promise<FileHandle | undefined> {
  const named = await stat(path).catch(() => undefined);
  const opened = await file.stat();
  if (named === undefined || named.ino === opened.ino) return undefined;
  return await open(path).catch(() => undefined);
}

/** Resolves when something changes in the log's folder, or after the poll's time. */
function changeOf(path: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      watcher?.close();
      signal.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, POLL_MS);
    signal.addEventListener("abort", finish, { once: true });
    const watcher = watchFolder(dirname(path), finish);
    if (signal.aborted) finish();
  });
}

function watchFolder(directory: string, onChange: () => void) {
  try {
    return watch(directory, onChange).on("error", onChange);
  } catch {
    // The folder is gone, or there are no watches left: the timer does.
    return undefined;
  }
}
