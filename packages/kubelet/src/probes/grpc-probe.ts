/**
 * gRPC health probes over a bare HTTP/2 connection: one message of one string goes out, one of one number comes back.
 * Source: grpc health checking protocol (grpc.health.v1.Health/Check); KEP-2727
 */
import { type ClientHttp2Session, connect } from "node:http2";
import type { ProbeAnswer } from "./probe-request.ts";

const SERVING = 1;
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
  try {
    return await check(session, service, timeoutMs);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { result: "failure", output: `failed to connect service "${authority}": ${why}` };
  } finally {
    session.destroy();
  }
}

function check(session: ClientHttp2Session, service: string, timeoutMs: number): Promise<ProbeAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<ProbeAnswer>();
  const timer = setTimeout(() => {
    resolve({ result: "failure", output: `timeout: health rpc did not complete within ${timeoutMs / 1000}s` });
  }, timeoutMs);
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
  const readStatus = (headers: Record<string, unknown>) => {
    if (headers["grpc-status"] !== undefined) grpcStatus = String(headers["grpc-status"]);
  };
  stream.on("response", readStatus);
  stream.on("trailers", readStatus);
  stream.on("data", (part: Buffer) => parts.push(part));
  stream.once("error", reject);
  stream.once("end", () => {
    if (grpcStatus !== undefined && grpcStatus !== "0") {
      const unimplemented = grpcStatus === "12";
      const output = unimplemented
        ? "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"
        : `error: health rpc probe failed: code ${grpcStatus}`;
      return resolve({ result: "failure", output });
    }
    const status = statusOf(Buffer.concat(parts));
    if (status === SERVING) return resolve({ result: "success", output: "service healthy" });
    resolve({ result: "failure", output: `service unhealthy (responded with "${STATUS_NAMES[status] ?? status}")` });
  });
  stream.end(requestFrame(service));
  return promise.finally(() => clearTimeout(timer));
}
