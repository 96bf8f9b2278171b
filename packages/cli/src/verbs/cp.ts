/** `knarr cp`: files into and out of containers, by tar over exec. */
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, posix, resolve } from "node:path";
import { PassThrough } from "node:stream";
import { core } from "@knarr/api/generated/resources.ts";
import { objectPath } from "@knarr/apimachinery/resource.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { defaultContainer } from "../default-container.ts";
import { integer } from "../flags.ts";
import { runRemoteStreams } from "../remote-streams.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions, type Verb } from "../verb.ts";

interface CpOptions extends GlobalOptions {
  readonly container?: string;
  readonly preserve?: boolean;
  readonly retries: string;
}
interface Place {
  /** Undefined for this machine. */
  readonly pod: { readonly namespace: string; readonly name: string } | undefined;
  readonly path: string;
}

export const cp: Verb = {
  name: "cp",
  register(program, context) {
    program
      .command("cp")
      .description("Copy files and directories to and from containers")
      .argument("<from>", "[[namespace/]pod:]path")
      .argument("<to>", "[[namespace/]pod:]path")
      .option("-c, --container <name>", "container of the pod")
      .option("--no-preserve", "don't keep owners and permissions")
      .option("--retries <n>", "how often to try again", integer, "0")
      .action((from: string, to: string, _options: unknown, self: Command) =>
        runCp(from, to, self.optsWithGlobals<CpOptions>(), context),
      );
  },
};

/** Throws CliError for what is neither a local path nor `[namespace/]pod:path`. */
function placeOf(text: string, namespace: string): Place {
  const colon = text.indexOf(":");
  if (colon < 0) return { pod: undefined, path: text };
  if (colon === 0) throw new CliError("filespec must match the canonical format: [[namespace/]pod:]file/path");
  const [first = "", second, ...more] = text.slice(0, colon).split("/");
  if (more.length > 0) throw new CliError("filespec must match the canonical format: [[namespace/]pod:]file/path");
  return {
    pod: second === undefined ? { namespace, name: first } : { namespace: first, name: second },
    path: text.slice(colon + 1),
  };
}

async function runCp(fromText: string, toText: string, options: CpOptions, context: CliContext): Promise<void> {
  const connection = await connect(options, context);
  const [from, to] = [placeOf(fromText, connection.namespace), placeOf(toText, connection.namespace)];
  if (from.path === "" || to.path === "") throw new CliError("filepath can not be empty");
  if (from.pod !== undefined && to.pod !== undefined)
    throw new CliError(`one of src or dest must be a local file specification`);
  if (to.pod !== undefined) await copyIn(from.path, to as Place & { pod: object }, options, connection, context);
  else if (from.pod !== undefined) await copyOut(from, to.path, options, connection, context);
  else throw new CliError("one of src or dest must be a remote file specification");
}

async function inContainer(
  place: Place,
  command: readonly string[],
  options: CpOptions,
  { client }: Connection,
  context: CliContext,
): Promise<number> {
  const key = place.pod ?? { namespace: "", name: "" };
  const pod = await client.get(core.pods, key, { signal: context.signal });
  const container = options.container ?? defaultContainer(pod).name;
  const query = { command, container, stdin: true, stdout: true, stderr: true, tty: false };
  return runRemoteStreams(client, objectPath(core.pods, key, "exec"), query, context);
}

async function copyIn(
  path: string,
  to: Place,
  options: CpOptions,
  connection: Connection,
  context: CliContext,
): Promise<void> {
  try {
    await stat(path);
  } catch {
    throw new CliError(`${path} doesn't exist in local filesystem`);
  }
  const quiet = {
    ...context,
    stdout: new PassThrough(),
    stderr: new PassThrough(),
    stdin: new PassThrough(),
  } as unknown as CliContext;
  (quiet.stdin as unknown as PassThrough).end();
  const isFolder = (await inContainer(to, ["test", "-d", to.path], options, connection, quiet)) === 0;
  const target = isFolder ? posix.join(to.path, basename(resolve(path))) : to.path;
  const [folder, name] = [posix.dirname(target), posix.basename(target)];
  // One tar here, one there; the name changes on the way.
  const tar = spawn(
    "tar",
    [
      "cf",
      "-",
      `--transform=s,^${escapeSed(basename(resolve(path)))},${escapeSed(name)},S`,
      "-C",
      dirname(resolve(path)),
      basename(resolve(path)),
    ],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const command = [
    "tar",
    ...(options.preserve === false ? ["--no-same-permissions", "--no-same-owner"] : []),
    "-xmf",
    "-",
    "-C",
    folder,
  ];
  const code = await inContainer(to, command, options, connection, { ...context, stdin: tar.stdout as never });
  if (code !== 0) throw new CliError(`command terminated with exit code ${code}`, code);
}

const escapeSed = (text: string) => text.replace(/[\\,.*[\]^$&]/g, "\\$&");

async function copyOut(
  from: Place,
  path: string,
  options: CpOptions,
  connection: Connection,
  context: CliContext,
): Promise<void> {
  const [folder, name] = [posix.dirname(from.path), posix.basename(from.path)];
  const isFolder = await stat(path).then(
    (s) => s.isDirectory(),
    () => false,
  );
  const target = isFolder ? join(path, name) : path;
  await mkdir(dirname(resolve(target)), { recursive: true });
  // Unpacked beside the target: an archive from a container must not choose where files land.
  const work = await mkdtemp(join(tmpdir(), "knarr-cp-"));
  try {
    const untar = spawn("tar", ["xf", "-", "-C", work, "--no-same-owner"], { stdio: ["pipe", "ignore", "pipe"] });
    let trouble = "";
    untar.stderr.on("data", (chunk: Buffer) => {
      trouble += chunk.toString("utf8");
    });
    const ended = new Promise<number>((done) => untar.once("close", (code) => done(code ?? 1)));
    const stdin = new PassThrough();
    stdin.end();
    const code = await inContainer(from, ["tar", "cf", "-", "-C", folder, name], options, connection, {
      ...context,
      stdin: stdin as never,
      stdout: untar.stdin as never,
    });
    untar.stdin.end();
    const unpacked = await ended;
    if (code !== 0) throw new CliError(`command terminated with exit code ${code}`, code);
    if (unpacked !== 0) throw new CliError(`the archive from the container can't be unpacked: ${trouble.trim()}`);
    await rename(join(work, name), target).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== "EXDEV" && error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
      const { cp: copy } = await import("node:fs/promises");
      await copy(join(work, name), target, { recursive: true, force: true });
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
