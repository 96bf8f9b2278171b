/** Port forwarding over a WebSocket: SPDY frames tunnelled through it, or the older channels of two per port. */
import type { Duplex } from "node:stream";
import { dialUpgrade } from "@knarr/cri/dial-upgrade.ts";
import { SpdyClient } from "@knarr/cri/spdy/spdy-client.ts";
import type { SpdyStream } from "@knarr/cri/spdy/spdy-stream.ts";
import type { WebSocket } from "ws";
import { decodeChannel, encodeChannel, formatOf, TUNNEL_PROTOCOL } from "./web-socket-channels.ts";

const RUNTIME_PROTOCOL = "portforward.k8s.io";
const HIGH_WATER_BYTES = 1024 * 1024;

/** Resolves when either side has closed. `ports` matter to the channel protocols only. */
export async function bridgePortForward(
  client: WebSocket,
  protocol: string,
  url: string,
  ports: readonly number[],
): Promise<void> {
  client.pause();
  const upgraded = await dialUpgrade(url, { "x-stream-protocol-version": RUNTIME_PROTOCOL });
  if (protocol === TUNNEL_PROTOCOL) await tunnel(client, upgraded.socket, upgraded.head);
  else await channels(client, protocol, new SpdyClient(upgraded.socket, upgraded.head), ports);
}

/** Binary messages carry the SPDY connection's bytes, cut anywhere. Source: KEP-4006, "tunneling" */
function tunnel(client: WebSocket, socket: Duplex, head: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const send = (data: Buffer) => {
      if (client.readyState !== client.OPEN) return;
      client.send(data, { binary: true }, () => {
        if (socket.isPaused() && client.bufferedAmount < HIGH_WATER_BYTES) socket.resume();
      });
      if (client.bufferedAmount > HIGH_WATER_BYTES) socket.pause();
    };
    client.on("message", (data) => {
      if (socket.write(data as Buffer)) return;
      client.pause();
      socket.once("drain", () => client.resume());
    });
    client.on("error", () => client.terminate());
    client.once("close", () => {
      socket.destroy();
      resolve();
    });
    if (head.length > 0) send(head);
    socket.on("data", send);
    socket.on("error", () => client.terminate());
    socket.once("close", () => client.close(1000));
    client.resume();
  });
}

/** Channel 2i is port i's data, 2i+1 its errors; each begins with the port's number, two bytes, low byte first. */
async function channels(
  client: WebSocket,
  protocol: string,
  spdy: SpdyClient,
  ports: readonly number[],
): Promise<void> {
  const format = formatOf(protocol);
  const closed = new Promise<void>((resolve) => client.once("close", () => resolve()));
  closed.then(() => spdy.destroy());
  client.on("error", () => client.terminate());
  const inputs = new Map<number, SpdyStream>();
  const ended: Promise<void>[] = [];
  for (const [index, port] of ports.entries()) {
    const headers = { port: String(port), requestid: String(index) };
    const error = await spdy.openStream({ streamtype: "error", ...headers });
    error.end();
    const data = await spdy.openStream({ streamtype: "data", ...headers });
    data.on("error", () => undefined);
    inputs.set(2 * index, data);
    const announced = Buffer.from([port & 0xff, port >> 8]);
    for (const [channel, stream] of [
      [2 * index, data],
      [2 * index + 1, error],
    ] as const) {
      client.send(encodeChannel(format, channel, announced));
      stream.on("data", (part: Buffer) => client.send(encodeChannel(format, channel, part)));
    }
    ended.push(new Promise((resolve) => data.once("end", () => resolve())));
  }
  client.on("message", (raw) => {
    const message = decodeChannel(format, raw as Buffer);
    const stream = message === undefined ? undefined : inputs.get(message.channel);
    if (stream !== undefined && message !== undefined && !stream.writableEnded) stream.write(message.data);
  });
  client.resume();
  await Promise.race([closed, Promise.all(ended)]);
  client.close(1000);
  await closed;
}
