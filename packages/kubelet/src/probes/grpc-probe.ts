/**
 * gRPC health probes over a bare HTTP/2 connection: one message of one string goes out, one of one number comes back.
 * Source: grpc health checking protocol (grpc.health.v1.Health/Check); KEP-2727
 */

import { type ClientHttp2Session, connect } from "node:http2";
import { CODE_NAMES } from "@knarr/cri/grpc-codes.ts";
import type { ProbeAnswer } from "./probe-request.ts";

const SERVING = 1;
const UNIMPLEMENTED = "Unimplemented";
const STATUS_NAMES = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)];
}

/** A gRPC frame around HealthCheckRequest{service}. */
function requestFrame(service: string): Buffer {
  const name = Buffer.from(service);
  const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, ...varint(name.length)]), name]);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** The status in HealthCheckResponse, field 1; 0 when absent. */
function statusOf(frame: Buffer): number {
  return frame.length >= 7 && frame[5] === 0x08 ? (frame[6] ?? 0) : 0;
}

export async function runGrpcProbe(
  host: string,
  port: number,
  service: string,
  timeoutMs: number,
): Promise<ProbeAnswer> {
  const authority = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  const session = connect(`http://${authority}`);
  const connection = { greeted: false };
  session.once("remoteSettings", () => (connection.greeted = true));
  const seconds = `${timeoutMs / 1000}s`;
  // Upstream tries to connect until the time is over; the answer is the same when it is known before.
  const unreached = `timeout: failed to connect service "${authority}" within ${seconds}: context deadline exceeded`;
  try {
    const answer = await check(session, service, timeoutMs);
    if (answer !== undefined) return answer;
    const output = connection.greeted ? `timeout: health rpc did not complete within ${seconds}` : unreached;
    return { result: "failure", output };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { result: "failure", output: connection.greeted ? failed("Unavailable", why) : unreached };
  } finally {
    session.destroy();
  }
}

function failed(code: string, description: string): string {
  return `error: health rpc probe failed: rpc error: code = ${code} desc = ${description}`;
}

/** Messages come with all but printable ASCII as %XX. Source: gRPC over HTTP/2, Percent-Encoded */
function decoded(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    // Not encoded as it should be: shown as it is.
    return message;
  }
}

/** undefined: no answer within the time. */
function check(session: ClientHttp2Session, service: string, timeoutMs: number): Promise<ProbeAnswer | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<ProbeAnswer | undefined>();
  const timer = setTimeout(() => resolve(undefined), timeoutMs);
  session.once("error", reject);
  const stream = session.request({
    ":method": "POST",
    ":path": "/grpc.health.v1.Health/Check",
    "content-type": "application/grpc",
    te: "trailers",
    "user-agent": "kube-probe/1.36",
  });
  const parts: Buffer[] = [];
  let grpcStatus: string | undefined;
  let message = "";
  const readStatus = (headers: Record<string, unknown>) => {
    if (headers["grpc-status"] !== undefined) grpcStatus = String(headers["grpc-status"]);
    if (headers["grpc-message"] !== undefined) message = decoded(String(headers["grpc-message"]));
  };
  stream.on("response", readStatus);
  stream.on("trailers", readStatus);
  stream.on("data", (part: Buffer) => parts.push(part));
  stream.once("error", reject);
  stream.once("end", () => {
    if (grpcStatus !== undefined && grpcStatus !== "0") {
      const code = CODE_NAMES[Number(grpcStatus)] ?? `Code(${grpcStatus})`;
      const output =
        code === UNIMPLEMENTED
          ? `error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ${message}`
          : failed(code, message);
      return resolve({ result: "failure", output });
    }
    const status = statusOf(Buffer.concat(parts));
    if (status === SERVING) return resolve({ result: "success", output: "service healthy" });
    resolve({ result: "failure", output: `service unhealthy (responded with "${STATUS_NAMES[status] ?? status}")` });
  });
  stream.end(requestFrame(service));
  return promise.finally(() => clearTimeout(timer));
}
