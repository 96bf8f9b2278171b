/** GET /metrics/resource of a node's kubelet, with the API server's own client certificate. */
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import type { Node } from "@knarr/api/generated/types/core-v1.ts";
import type { KubeletClient } from "../proxy/kubelet.ts";

/** Twice what a node of 500 pods says. */
const MAX_BYTES = 4 * 1024 * 1024;

/** Throws when the kubelet can't be reached, does not answer 200 or says too much; an abort ends the request. */
export async function fetchSamples(kubelets: KubeletClient, node: Node, signal: AbortSignal): Promise<string> {
  const { host, port, path, agent, tls } = kubelets.target(node, "/metrics/resource");
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const outgoing = request(
      {
        host,
        port,
        path,
        signal,
        ...(agent === undefined ? {} : { agent }),
        rejectUnauthorized: tls?.skipVerify !== true,
        ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
        ...(tls?.cert === undefined ? {} : { cert: tls.cert }),
        ...(tls?.key === undefined ? {} : { key: tls.key }),
      },
      resolve,
    );
    outgoing.once("error", reject);
    outgoing.end();
  });
  if (response.statusCode !== 200) {
    response.resume();
    throw new Error(`the kubelet answered ${response.statusCode}`);
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) {
      response.destroy();
      throw new Error(`the kubelet's metrics are larger than ${MAX_BYTES} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
