/**
 * Joins a client's WebSocket with the runtime's SPDY streams of an exec or attach: channels on one side, streams on the
 * other. Owns both connections until both are closed.
 */

import { dialUpgrade } from "@knarr/cri/dial-upgrade.ts";
import { SpdyClient } from "@knarr/cri/spdy/spdy-client.ts";
import type { SpdyStream } from "@knarr/cri/spdy/spdy-stream.ts";
import type { WebSocket } from "ws";
import { Channel, type ChannelFormat, decodeChannel, encodeChannel, formatOf } from "./web-socket-channels.ts";

export interface ExecStreams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

const RUNTIME_PROTOCOL = "v4.channel.k8s.io";
/** Unsent bytes above which the runtime is made to wait for the client. */
const HIGH_WATER_BYTES = 1024 * 1024;

interface Bridge {
  readonly client: WebSocket;
  readonly format: ChannelFormat;
  readonly streams: ReadonlyMap<number, SpdyStream>;
}

/** Resolves when the command has ended and the client was told how. */
export async function bridgeExec(
  client: WebSocket,
  protocol: string,
  url: string,
  streams: ExecStreams,
): Promise<void> {
  const format = formatOf(protocol);
  // What the client sends before the runtime is there must wait, not get lost.
  client.pause();
  const upgraded = await dialUpgrade(url, { "x-stream-protocol-version": RUNTIME_PROTOCOL });
  const spdy = new SpdyClient(upgraded.socket, upgraded.head);
  const closed = new Promise<void>((resolve) => client.once("close", () => resolve()));
  closed.then(() => spdy.destroy());
  const open = (type: string) => spdy.openStream({ streamtype: type });
  const error = await open("error");
  const channels = new Map<number, SpdyStream>();
  if (streams.stdin) channels.set(Channel.stdin, await open("stdin"));
  if (streams.stdout) channels.set(Channel.stdout, await open("stdout"));
  if (streams.stderr && !streams.tty) channels.set(Channel.stderr, await open("stderr"));
  if (streams.tty) channels.set(Channel.resize, await open("resize"));
  const bridge = { client, format, streams: channels };
  receive(bridge);
  // Says that the streams are open. Source: upstream's first, empty message.
  const first = streams.stdout ? Channel.stdout : streams.stderr ? Channel.stderr : Channel.error;
  client.send(encodeChannel(format, first, Buffer.alloc(0)));
  client.resume();
  const outputs = [Channel.stdout, Channel.stderr].flatMap((channel) => {
    const stream = channels.get(channel);
    return stream === undefined ? [] : [copyOut(bridge, channel, stream)];
  });
  const verdict = await readAll(error);
  await Promise.all(outputs);
  sendVerdict(bridge, verdict);
  // Input that nobody reads any more must not keep the client's answer to the close from being read.
  client.resume();
  client.close(1000);
  await closed;
}

function receive({ client, format, streams }: Bridge): void {
  client.on("message", (raw) => {
    const message = decodeChannel(format, raw as Buffer);
    if (message === undefined) return;
    if (format.halfClose && message.channel === Channel.close) {
      streams.get(message.data[0] ?? -1)?.end();
      return;
    }
    if (message.channel !== Channel.stdin && message.channel !== Channel.resize) return;
    const stream = streams.get(message.channel);
    if (stream === undefined || stream.writableEnded || message.data.length === 0) return;
    if (!stream.write(message.data)) {
      client.pause();
      stream.once("drain", () => client.resume());
    }
  });
  client.on("error", () => client.terminate());
  // Writing to a stream that the runtime closed is no fault of ours or the client's.
  for (const stream of streams.values()) stream.on("error", () => client.resume());
}

function copyOut({ client, format }: Bridge, channel: number, stream: SpdyStream): Promise<void> {
  return new Promise((resolve) => {
    stream.on("data", (data: Buffer) => {
      if (client.readyState !== client.OPEN) return;
      client.send(encodeChannel(format, channel, data), () => {
        if (stream.isPaused() && client.bufferedAmount < HIGH_WATER_BYTES) stream.resume();
      });
      if (client.bufferedAmount > HIGH_WATER_BYTES) stream.pause();
    });
    stream.once("end", () => resolve());
    stream.once("close", () => resolve());
  });
}

async function readAll(stream: SpdyStream): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

/** v4 and v5 get the runtime's Status; older protocols the text of a failure, and nothing for a success. */
function sendVerdict({ client, format }: Bridge, verdict: Buffer): void {
  if (client.readyState !== client.OPEN || verdict.length === 0) return;
  if (format.status) {
    client.send(encodeChannel(format, Channel.error, verdict));
    return;
  }
  const status = JSON.parse(verdict.toString()) as { status?: string; message?: string };
  if (status.status === "Success") return;
  client.send(encodeChannel(format, Channel.error, Buffer.from(status.message ?? "")));
}
