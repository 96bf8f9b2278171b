/**
 * The WebSocket protocols of exec, attach and port-forward: which is spoken, and how a channel's bytes are framed. Pure.
 *
 *   binary  one byte names the channel, the rest is data        base64  a digit names the channel, the rest is base64
 *   v5 only: 255 and a channel half-closes it
 * Source: KEP-4006; k8s.io/apimachinery/pkg/util/remotecommand
 */

/** Best first. "" is the oldest, spoken by clients that ask for none. */
export const EXEC_PROTOCOLS = [
  "v5.channel.k8s.io",
  "v4.channel.k8s.io",
  "v4.base64.channel.k8s.io",
  "channel.k8s.io",
  "base64.channel.k8s.io",
] as const;
export const TUNNEL_PROTOCOL = "SPDY/3.1+portforward.k8s.io";
export const PORT_FORWARD_PROTOCOLS = [TUNNEL_PROTOCOL, "v4.channel.k8s.io", "v4.base64.channel.k8s.io"] as const;

export const Channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

/** The first of ours that the client offers; undefined when it offers some and none is ours. */
export function chooseProtocol(offered: readonly string[], ours: readonly string[]): string | undefined {
  if (offered.length === 0) return "";
  return ours.find((protocol) => offered.includes(protocol));
}

export interface ChannelFormat {
  readonly base64: boolean;
  /** Errors are a Status on channel 3, not a text. */
  readonly status: boolean;
  readonly halfClose: boolean;
}

export function formatOf(protocol: string): ChannelFormat {
  return {
    base64: protocol.includes("base64"),
    status: protocol.startsWith("v4") || protocol.startsWith("v5"),
    halfClose: protocol.startsWith("v5"),
  };
}

/** What goes into one WebSocket message. */
export function encodeChannel(format: ChannelFormat, channel: number, data: Buffer): Buffer | string {
  if (format.base64) return `${channel}${data.toString("base64")}`;
  return Buffer.concat([Buffer.from([channel]), data]);
}

export interface ChannelMessage {
  readonly channel: number;
  readonly data: Buffer;
}

/** The inverse; undefined for a message that names no channel. */
export function decodeChannel(format: ChannelFormat, message: Buffer): ChannelMessage | undefined {
  const first = message[0];
  if (first === undefined) return undefined;
  if (!format.base64) return { channel: first, data: message.subarray(1) };
  return { channel: first - 0x30, data: Buffer.from(message.toString("ascii", 1), "base64") };
}
