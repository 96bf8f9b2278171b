/** TCP probes: a connection that opens is well. */
import { connect } from "node:net";
import { dialError } from "./http-probe.ts";
import type { ProbeAnswer } from "./probe-request.ts";

export function runTcpProbe(host: string, port: number, timeoutMs: number): Promise<ProbeAnswer> {
  const { promise, resolve } = Promise.withResolvers<ProbeAnswer>();
  const address = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  const socket = connect({ host, port });
  const timer = setTimeout(() => {
    resolve({ result: "failure", output: `dial tcp ${address}: i/o timeout` });
    socket.destroy();
  }, timeoutMs);
  socket.once("connect", () => {
    resolve({ result: "success", output: "" });
    socket.destroy();
  });
  socket.once("error", (error) => resolve({ result: "failure", output: dialError(error, address) }));
  return promise.finally(() => clearTimeout(timer));
}
