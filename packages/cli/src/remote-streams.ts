/**
 * Standard streams over the API's WebSocket channels. Each frame begins with its channel's number:
 *
 *   0 stdin ->   1 <- stdout   2 <- stderr   3 <- Status at the end   4 resize ->   255 close of a channel -> (v5)
 *
 * Source: KEP-4006, k8s.io/apimachinery/pkg/util/remotecommand/constants.go
 */
import type { Status } from "@knarr/apimachinery/generated/meta-v1.ts";
import { StatusError } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import type { WebSocket } from "ws";
import { type CliContext, CliError } from "./verb.ts";

const Channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;
const PROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io"];

export interface RemoteStreamsQuery {
  readonly command?: readonly string[];
  readonly container?: string;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** Resolves with the exit code of the remote command. Throws StatusError when it could not be run. */
export async function runRemoteStreams(
  client: Client,
  path: string,
  query: RemoteStreamsQuery,
  context: CliContext,
): Promise<number> {
  const socket = await client.websocket(path, { ...query }, PROTOCOLS, { signal: context.signal });
  const detach: (() => void)[] = [];
  try {
    if (query.stdin) detach.push(pumpStdin(socket, context));
    if (query.tty) detach.push(followTerminal(socket, context));
    return exitCodeOf(await finalStatus(socket, context));
  } finally {
    for (const undo of detach) undo();
    socket.close();
  }
}

function finalStatus(socket: WebSocket, context: CliContext): Promise<Status> {
  return new Promise<Status>((resolve, reject) => {
    let status: Status | undefined;
    const onAbort = () => {
      socket.terminate();
      reject(context.signal.reason);
    };
    context.signal.addEventListener("abort", onAbort, { once: true });
    socket.on("message", (data: Buffer) => {
      const payload = data.subarray(1);
      switch (data[0]) {
        case Channel.stdout:
          context.stdout.write(payload);
          break;
        case Channel.stderr:
          context.stderr.write(payload);
          break;
        case Channel.error:
          status = JSON.parse(payload.toString("utf8")) as Status;
          break;
        default:
          break;
      }
    });
    socket.on("error", reject);
    socket.on("close", (code) => {
      context.signal.removeEventListener("abort", onAbort);
      if (status !== undefined) resolve(status);
      else reject(new CliError(`the connection ended before the command did (WebSocket code ${code})`));
    });
  });
}

function exitCodeOf(status: Status): number {
  if (status.status === "Success") return 0;
  if (status.reason === "NonZeroExitCode") {
    const code = Number(status.details?.causes?.find((c) => c.reason === "ExitCode")?.message);
    if (Number.isInteger(code)) return code;
  }
  throw new StatusError(status);
}

function pumpStdin(socket: WebSocket, context: CliContext): () => void {
  const send = (channel: number, data: Uint8Array) => socket.send(Buffer.concat([Buffer.of(channel), data]));
  const onData = (chunk: Buffer | string) => send(Channel.stdin, Buffer.from(chunk));
  const onEnd = () => {
    // Only v5 can say that input is over; with v4 the remote end learns it when the socket closes.
    if (socket.protocol === PROTOCOLS[0]) send(Channel.close, Buffer.of(Channel.stdin));
  };
  context.stdin.on("data", onData);
  context.stdin.on("end", onEnd);
  return () => {
    context.stdin.off("data", onData);
    context.stdin.off("end", onEnd);
    context.stdin.pause();
  };
}

/** Raw mode, and the terminal's size now and whenever it changes. */
function followTerminal(socket: WebSocket, context: CliContext): () => void {
  const terminal = context.stdout as NodeJS.WriteStream;
  const sendSize = () => {
    const size = JSON.stringify({ Width: terminal.columns ?? 80, Height: terminal.rows ?? 24 });
    socket.send(Buffer.concat([Buffer.of(Channel.resize), Buffer.from(size)]));
  };
  context.stdin.setRawMode?.(true);
  sendSize();
  terminal.on("resize", sendSize);
  return () => {
    terminal.off("resize", sendSize);
    context.stdin.setRawMode?.(false);
  };
}
