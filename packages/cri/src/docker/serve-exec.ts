/** exec and attach behind one SPDY connection: the client's streams joined with Docker's. */
import type { Duplex } from "node:stream";
import type { StreamRequest } from "../runtime.ts";
import { RuntimeError } from "../runtime-error.ts";
import { SpdyServer } from "../spdy/spdy-server.ts";
import type { SpdyStream } from "../spdy/spdy-stream.ts";
import type { DockerEngine } from "./docker-engine.ts";
import { copyOutput, EngineExec, type ExecOutput, NO_DETACH_KEYS, startFailure } from "./engine-exec.ts";
import { acceptUpgrade, type Upgrade } from "./stream-server.ts";

/** Newest first. Source: upstream's remotecommand protocols; resize came with v3, a Status with v4 */
const PROTOCOLS = ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
const STREAMS_TIMEOUT_MS = 30_000;

interface Session {
  readonly connection: SpdyServer;
  readonly protocol: string;
  readonly streams: ReadonlyMap<string, SpdyStream>;
}

/** The streams that a client opens, in whatever order. Undefined when it does not, in time. */
async function acceptStreams(upgrade: Upgrade, request: StreamRequest): Promise<Session | undefined> {
  const protocol = acceptUpgrade(upgrade, PROTOCOLS);
  if (protocol === undefined) return undefined;
  const hasResize = request.tty && (protocol.startsWith("v3") || protocol.startsWith("v4"));
  const wanted = new Set(
    [
      ["error", true],
      ["stdin", request.stdin],
      ["stdout", request.stdout],
      ["stderr", request.stderr && !request.tty],
      ["resize", hasResize],
    ].flatMap(([name, on]) => (on ? [name as string] : [])),
  );
  const streams = new Map<string, SpdyStream>();
  const { promise: complete, resolve } = Promise.withResolvers<boolean>();
  const connection = new SpdyServer(upgrade.socket, upgrade.head, (headers, stream) => {
    const type = headers.get("streamtype") ?? "";
    if (!wanted.has(type) || streams.has(type)) return stream.end();
    streams.set(type, stream);
    if (streams.size === wanted.size) resolve(true);
  });
  const timer = setTimeout(() => resolve(false), STREAMS_TIMEOUT_MS);
  connection.closed.then(() => resolve(false));
  const isComplete = await complete;
  clearTimeout(timer);
  if (isComplete) return { connection, protocol, streams };
  connection.destroy();
  return undefined;
}

/** Slow readers hold the command up, as a pipe would. */
function outputOf(streams: ReadonlyMap<string, SpdyStream>): ExecOutput {
  return {
    write: (name, data) => {
      const stream = streams.get(name);
      if (stream === undefined || stream.destroyed || stream.writableEnded) return;
      if (stream.write(data)) return;
      return new Promise((resolve) => {
        const done = () => {
          stream.off("drain", done);
          stream.off("close", done);
          resolve();
        };
        stream.on("drain", done);
        stream.on("close", done);
      });
    },
  };
}

/** {"Width":80,"Height":24} for each change. */
function followResize(stream: SpdyStream | undefined, resize: (width: number, height: number) => Promise<void>): void {
  if (stream === undefined) return;
  let rest = "";
  stream.on("data", (data: Buffer) => {
    const texts = (rest + data.toString()).split(/(?<=\})/);
    rest = texts.at(-1)?.endsWith("}") === true ? "" : (texts.pop() ?? "");
    if (rest.length > 1024) rest = "";
    for (const text of texts) {
      const { Width = 0, Height = 0 } = parseSize(text);
      // The command may have ended: its terminal's size is no loss.
      if (Width > 0 && Height > 0) resize(Width, Height).catch(() => undefined);
    }
  });
}

function parseSize(text: string): { Width?: number; Height?: number } {
  try {
    return JSON.parse(text) as { Width?: number; Height?: number };
  } catch {
    return {};
  }
}

function joinInput(session: Session, target: NodeJS.WritableStream): void {
  const stdin = session.streams.get("stdin");
  stdin?.pipe(target);
}

type Verdict = { readonly exitCode: number } | { readonly failure: string };

/** Source: upstream's remotecommand server: v4 gets a metav1.Status, older ones the text of a failure */
function renderVerdict(protocol: string, verdict: Verdict): string {
  const isV4 = protocol.startsWith("v4");
  if ("failure" in verdict) {
    const message = `error executing command in container: ${verdict.failure}`;
    const status = { metadata: {}, status: "Failure", message, reason: "InternalError", code: 500 };
    return isV4 ? JSON.stringify(status) : message;
  }
  if (verdict.exitCode === 0) return isV4 ? JSON.stringify({ metadata: {}, status: "Success" }) : "";
  const message = `command terminated with non-zero exit code: error executing command, exit code ${verdict.exitCode}`;
  if (!isV4) return message;
  const causes = [{ reason: "ExitCode", message: String(verdict.exitCode) }];
  return JSON.stringify({ metadata: {}, status: "Failure", message, reason: "NonZeroExitCode", details: { causes } });
}

/** Output first, then the verdict, then the end of all. */
async function conclude({ connection, protocol, streams }: Session, verdict: Verdict): Promise<void> {
  const finished = [...streams].map(
    ([name, stream]) =>
      new Promise<void>((resolve) => {
        if (stream.destroyed) return resolve();
        stream.once("close", resolve);
        stream.end(name === "error" ? renderVerdict(protocol, verdict) : undefined, () => resolve());
      }),
  );
  await Promise.all(finished);
  connection.end();
  await connection.closed;
}

export interface ExecTarget {
  readonly id: string;
  readonly command: readonly string[];
  readonly request: StreamRequest;
}

export async function serveExec(engine: DockerEngine, target: ExecTarget, upgrade: Upgrade): Promise<void> {
  const session = await acceptStreams(upgrade, target.request);
  if (session === undefined) return;
  await conclude(session, await runExec(engine, target, session));
}

async function runExec(engine: DockerEngine, target: ExecTarget, session: Session): Promise<Verdict> {
  try {
    const exec = await EngineExec.start(engine, target.id, target.command, target.request);
    // A client that went away reads nothing more, and its input ends; the command goes on, as upstream's does.
    const gone = new AbortController();
    session.connection.closed.then(() => gone.abort());
    joinInput(session, exec.connection);
    followResize(session.streams.get("resize"), (width, height) => exec.resize(width, height));
    const client = outputOf(session.streams);
    let head = "";
    const output: ExecOutput = {
      write: (name, data) => {
        // Only a command that could not be started is told by text, and that text is all there is.
        if (head.length < 4096) head += data.toString("utf8", 0, 4096);
        return /^OCI runtime/.test(head) ? undefined : client.write(name, data);
      },
    };
    const exitCode = await exec.finish(output, gone.signal);
    const failure = startFailure(exitCode, head);
    if (failure !== undefined) return { failure: failure.detail };
    if (/^OCI runtime/.test(head)) await client.write("stdout", Buffer.from(head));
    return { exitCode };
  } catch (error) {
    return { failure: error instanceof RuntimeError ? error.detail : String(error) };
  }
}

export interface AttachTarget {
  readonly id: string;
  readonly request: StreamRequest;
}

export async function serveAttach(engine: DockerEngine, target: AttachTarget, upgrade: Upgrade): Promise<void> {
  const session = await acceptStreams(upgrade, target.request);
  if (session === undefined) return;
  const { id, request } = target;
  try {
    const connection = (await engine.call((docker, abortSignal) =>
      docker.getContainer(id).attach({
        stream: true,
        hijack: true,
        stdin: request.stdin,
        stdout: request.stdout,
        stderr: request.stderr && !request.tty,
        logs: false,
        detachKeys: NO_DETACH_KEYS,
        abortSignal,
      }),
    )) as Duplex;
    connection.on("error", () => connection.destroy());
    session.connection.closed.then(() => connection.destroy());
    joinInput(session, connection);
    followResize(session.streams.get("resize"), async (width, height) => {
      await engine.call((docker, abortSignal) => docker.getContainer(id).resize({ w: width, h: height, abortSignal }));
    });
    await copyOutput(connection, request.tty, outputOf(session.streams));
    await conclude(session, { exitCode: 0 });
  } catch (error) {
    await conclude(session, { failure: error instanceof RuntimeError ? error.detail : String(error) });
  }
}
