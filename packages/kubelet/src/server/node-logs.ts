/**
 * GET /logs/...: the node's log files, and with ?query= the logs of its services. Nothing but what lies below the log
 * folder can be reached: paths are resolved, links included, before anything is opened.
 */
import { spawn } from "node:child_process";
import { constants } from "node:fs";
import { type FileHandle, open, readdir, realpath, stat } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { join, sep } from "node:path";
import { pipeline } from "node:stream/promises";
import { HttpError, sendText } from "./http-error.ts";
import { hasOptions, journalArguments, type NodeLogQuery, parseNodeLogQuery, QueryError } from "./node-log-query.ts";

export interface NodeLogOptions {
  /** "/var/log" */
  readonly root: string;
  /** enableSystemLogQuery: whether ?query= is served. */
  readonly queries: boolean;
}

const JOURNAL_TIMEOUT_MS = 30_000;

/** `path` is decoded, without the leading "/logs". */
export async function serveNodeLogs(
  options: NodeLogOptions,
  path: string,
  query: URLSearchParams,
  response: ServerResponse,
): Promise<void> {
  const asked = options.queries ? parsed(query) : undefined;
  if (asked !== undefined) return await answerQuery(options.root, asked, response);
  if (path === "") {
    response.writeHead(301, { location: "logs/", "content-length": 0 });
    response.end();
    return;
  }
  const target = await resolveBelow(options.root, path);
  const found = await stat(target).catch(asNotFound);
  if (found.isDirectory()) return await sendListing(target, path, response);
  if (!found.isFile()) throw new HttpError(404, "404 page not found\n");
  await sendFile(target, response);
}

function parsed(query: URLSearchParams): NodeLogQuery | undefined {
  try {
    return parseNodeLogQuery(query);
  } catch (error) {
    if (error instanceof QueryError) throw new HttpError(400, `${error.message}\n`);
    throw error;
  }
}

/** The real path of what `path` names below `root`. Throws 404 for what is not there, or not below. */
export async function resolveBelow(root: string, path: string): Promise<string> {
  if (path.includes("\0")) throw new HttpError(400, "invalid path\n");
  const base = await realpath(root).catch(asNotFound);
  const target = await realpath(join(base, join("/", path))).catch(asNotFound);
  if (target !== base && !target.startsWith(base + sep)) throw new HttpError(404, "404 page not found\n");
  return target;
}

function asNotFound(error: NodeJS.ErrnoException): never {
  if (error.code === "ENOENT" || error.code === "ENOTDIR" || error.code === "ELOOP" || error.code === "ENAMETOOLONG") {
    throw new HttpError(404, "404 page not found\n");
  }
  throw error;
}

/** Source: Go's http.FileServer: what it shows of a folder. */
async function sendListing(folder: string, path: string, response: ServerResponse): Promise<void> {
  if (!path.endsWith("/")) {
    response.writeHead(301, { location: `${encodeURIComponent(path.split("/").at(-1) ?? "")}/`, "content-length": 0 });
    response.end();
    return;
  }
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name)).sort();
  const escaped = (text: string) =>
    text.replace(/[&<>"']/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;" })[c] ?? c);
  const lines = names.map((name) => `<a href="${encodeURI(name).replaceAll("?", "%3F")}">${escaped(name)}</a>\n`);
  const head = '<!doctype html>\n<meta name="viewport" content="width=device-width">\n';
  sendText(response, 200, `${head}<pre>\n${lines.join("")}</pre>\n`, "text/html; charset=utf-8");
}

/** As much as the file had when it was opened: a log that grows meanwhile does not keep the answer open for ever. */
async function sendFile(path: string, response: ServerResponse): Promise<void> {
  const file = await openPlain(path);
  try {
    const { size } = await file.stat();
    response.writeHead(200, { "content-type": "text/plain; charset=utf-8", "content-length": size });
    if (size === 0) response.end();
    else await pipeline(file.createReadStream({ start: 0, end: size - 1, autoClose: false }), response);
  } finally {
    await file.close();
  }
}

/** A link that took the file's place since its path was resolved is not followed. */
function openPlain(path: string): Promise<FileHandle> {
  return open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
}

async function answerQuery(root: string, query: NodeLogQuery, response: ServerResponse): Promise<void> {
  const [file] = query.files;
  if (file !== undefined) return await sendFile(await regularFile(root, file), response);
  response.writeHead(200, { "content-type": "text/plain;charset=UTF-8" });
  const deadline = AbortSignal.timeout(JOURNAL_TIMEOUT_MS);
  const inJournal: string[] = [];
  const inFiles: string[] = [];
  for (const service of query.services) {
    ((await hasJournal(service, deadline)) ? inJournal : inFiles).push(service);
  }
  if (inJournal.length > 0) await copyJournal(journalArguments(query, inJournal), response, deadline);
  if (inFiles.length > 0 && hasOptions(query)) {
    response.write(
      `\noptions present and query resolved to log files for [${inFiles.join(" ")}]\ntry without specifying options\n`,
    );
  } else for (const service of inFiles) await copyServiceFile(root, service, response);
  response.end();
}

async function regularFile(root: string, file: string): Promise<string> {
  try {
    const target = await resolveBelow(root, file);
    if ((await stat(target)).isFile()) return target;
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
  }
  const why = `stat ${join(root, file)}: no such file or directory`;
  throw new HttpError(400, `query: Invalid value: ${JSON.stringify([file])}: ${why}\n`);
}

/** "foo", "foo.log" or "foo/foo.log", the first that is there. */
async function copyServiceFile(root: string, service: string, response: ServerResponse): Promise<void> {
  for (const name of [service, `${service}.log`, `${service}/${service}.log`]) {
    try {
      const target = await resolveBelow(root, name);
      if (!(await stat(target)).isFile()) continue;
      const file = await openPlain(target);
      try {
        const { size } = await file.stat();
        if (size === 0) return;
        const stream = file.createReadStream({ start: 0, end: size - 1, autoClose: false });
        await pipeline(stream, response, { end: false });
      } finally {
        await file.close();
      }
      return;
    } catch (error) {
      // The next name may be there.
      if (!(error instanceof HttpError)) throw error;
    }
  }
  response.write(`\nlog not found for ${service}\n`);
}

/** Whether the journal has anything of this unit; without a journal it has nothing. */
async function hasJournal(service: string, deadline: AbortSignal): Promise<boolean> {
  const chunks: Buffer[] = [];
  const code = await runJournal(
    ["--utc", "--no-pager", "--output=short-precise", "--reverse", "--lines=1", `--unit=${service}`],
    deadline,
    (chunk) => chunks.push(chunk),
  );
  return code === 0 && !Buffer.concat(chunks).toString().includes("-- No entries --");
}

async function copyJournal(words: readonly string[], response: ServerResponse, deadline: AbortSignal): Promise<void> {
  const code = await runJournal(words, deadline, (chunk, source) => {
    // Bounded: a client that does not read stops the journal.
    if (response.write(chunk)) return;
    source.pause();
    response.once("drain", () => source.resume());
  });
  if (code === undefined) response.write("\nerror: journal output not available\n");
}

/** Its exit code; undefined when there is no journalctl, or its time was up. */
function runJournal(
  words: readonly string[],
  deadline: AbortSignal,
  onOutput: (chunk: Buffer, source: { pause(): void; resume(): void }) => void,
): Promise<number | undefined> {
  return new Promise((resolve) => {
    const child = spawn("journalctl", words, { stdio: ["ignore", "pipe", "pipe"], signal: deadline });
    for (const source of [child.stdout, child.stderr]) source.on("data", (chunk: Buffer) => onOutput(chunk, source));
    child.once("error", () => resolve(undefined));
    child.once("close", (code) => resolve(code ?? undefined));
  });
}
