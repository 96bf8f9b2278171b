/** The loads on the API server and the yardsticks beside each. */
import { readFile } from "node:fs/promises";
import { core } from "@knarr/api/generated/resources.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import { loadKubeconfig } from "@knarr/client/kubeconfig.ts";
import type { ClusterConfig } from "@knarr/cluster/cluster-config.ts";
import type { ClusterPaths } from "@knarr/cluster/paths.ts";
import { benchPod, POD_BYTES } from "./bench-pod.ts";
import type { HttpTarget } from "./http-connection.ts";
import { type EtcdJob, type LoadJob, NAME_MARK } from "./job.ts";
import type { LoadFigures } from "./result.ts";
import { type LoadContext, runLoad, withBareServer } from "./run-load.ts";

export interface ApiLoadOptions extends LoadContext {
  readonly client: Client;
  readonly config: ClusterConfig;
  readonly paths: ClusterPaths;
  readonly report: (figures: LoadFigures) => void;
}

export const LIST_PODS = 500;
const IN_FLIGHT = 32;
const timing = { inFlight: IN_FLIGHT, warmUpMs: 2000, measureMs: 5000 };
/** Read from; its size stays. */
const READ_NAMESPACE = "bench-read";
const WRITE_NAMESPACE = "bench-write";
const SEEDERS = 8;
const podsPath = (namespace: string) => `/api/v1/namespaces/${namespace}/pods`;
const readName = (index: number) => `pod-${String(index).padStart(7, "0")}`;

export interface ReadSample {
  readonly pod: Buffer;
  readonly list: Buffer;
  readonly padding: number;
}

/** Makes both namespaces and the pods to read. Resolves with what a get and a list answer. */
export async function seedPods({ client, signal }: ApiLoadOptions): Promise<ReadSample> {
  for (const name of [READ_NAMESPACE, WRITE_NAMESPACE]) {
    await client.create(core.namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name } }, { signal });
    await defaultServiceAccount(client, name, signal);
  }
  const read = async (path: string) => (await client.request({ method: "GET", path, signal })).body;
  const probeKey = { namespace: READ_NAMESPACE, name: readName(LIST_PODS) };
  const probePath = `${podsPath(READ_NAMESPACE)}/${probeKey.name}`;
  await client.create(core.pods, benchPod(probeKey.name, READ_NAMESPACE, 0), { signal });
  const padding = POD_BYTES - (await read(probePath)).length;
  if (padding < 0) throw new Error(`the pod has ${-padding} bytes more than ${POD_BYTES} without padding`);
  await client.delete(core.pods, probeKey, { gracePeriodSeconds: 0, signal });
  let next = 0;
  const seeder = async () => {
    while (next < LIST_PODS) {
      await client.create(core.pods, benchPod(readName(next++), READ_NAMESPACE, padding), { signal });
    }
  };
  await Promise.all(Array.from({ length: SEEDERS }, seeder));
  const path = podsPath(READ_NAMESPACE);
  return { pod: await read(`${path}/${readName(0)}`), list: await read(path), padding };
}

/** Pods are refused until the controller has made it. */
async function defaultServiceAccount(client: Client, namespace: string, signal: AbortSignal): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await client.get(core.serviceaccounts, { namespace, name: "default" }, { signal });
      return;
    } catch (error) {
      if (!isNotFound(error) || tries > 300) throw error;
      await new Promise((wake) => setTimeout(wake, 100));
    }
  }
}

/** A read of the API server, then the same bytes from the bare server. */
async function runReads(
  what: string,
  read: { readonly paths: readonly string[]; readonly body: Buffer },
  options: ApiLoadOptions,
): Promise<LoadFigures[]> {
  const server = await apiTarget(options);
  const { paths } = options;
  const certificate = paths.certOf("apiserver");
  const job = { ...timing, target: "http", method: "GET", expectStatus: 200, paths: read.paths } as const;
  const api = await runLoad(`API ${what}`, { ...job, server }, options);
  options.report(api);
  const bareJob = {
    cert: await readFile(certificate.cert, "utf8"),
    key: await readFile(certificate.key, "utf8"),
    clientCa: server.ca,
    body: read.body.toString(),
  };
  const bare = await withBareServer(bareJob, options.signal, (process, port) =>
    runLoad(`bare HTTPS ${what}`, { ...job, server: { ...server, port } }, options, process),
  );
  options.report(bare);
  return [api, bare];
}

export async function runReadLoads(sample: ReadSample, options: ApiLoadOptions): Promise<LoadFigures[]> {
  const path = podsPath(READ_NAMESPACE);
  const podPaths = Array.from({ length: LIST_PODS }, (_, index) => `${path}/${readName(index)}`);
  return [
    ...(await runReads("get pod", { paths: podPaths, body: sample.pod }, options)),
    ...(await runReads(`list ${LIST_PODS} pods`, { paths: [path], body: sample.list }, options)),
  ];
}

export async function runCreateLoad(sample: ReadSample, options: ApiLoadOptions): Promise<LoadFigures> {
  const job: LoadJob = {
    ...timing,
    target: "http",
    server: await apiTarget(options),
    expectStatus: 201,
    method: "POST",
    path: podsPath(WRITE_NAMESPACE),
    template: JSON.stringify(benchPod(NAME_MARK, WRITE_NAMESPACE, sample.padding)),
    namePrefix: "pod-",
  };
  const figures = await runLoad("API create pod", job, options);
  options.report(figures);
  return figures;
}

/** Under keys of its own, which the API server does not watch; values as large as a stored pod. */
export async function runEtcdLoads(sample: ReadSample, options: ApiLoadOptions): Promise<LoadFigures[]> {
  const { config, paths } = options;
  const client = paths.certOf("apiserver-etcd-client");
  const job = {
    ...timing,
    target: "etcd",
    endpoint: `https://127.0.0.1:${config.ports.etcdClient}`,
    ca: await readFile(paths.certOf("etcd/ca").cert, "utf8"),
    cert: await readFile(client.cert, "utf8"),
    key: await readFile(client.key, "utf8"),
    valueBytes: sample.pod.length,
    keyCount: LIST_PODS,
  } as const satisfies Partial<LoadJob> & Partial<EtcdJob>;
  const all: LoadFigures[] = [];
  for (const operation of ["create", "get"] as const) {
    const name = operation === "create" ? "etcd guarded create" : "etcd get";
    const figures = await runLoad(name, { ...job, operation, keyPrefix: `/knarr-bench/${operation}/` }, options);
    options.report(figures);
    all.push(figures);
  }
  return all;
}

/** The API server with the certificate of the admin's kubeconfig. */
async function apiTarget({ config, paths }: ApiLoadOptions): Promise<HttpTarget> {
  const ca = await readFile(paths.certOf("ca").cert, "utf8");
  const admin = await loadKubeconfig({ path: paths.adminKubeconfig }).credentials?.();
  if (admin?.cert === undefined || admin.key === undefined) throw new Error("the kubeconfig has no client certificate");
  return { host: "127.0.0.1", port: config.ports.apiserver, ca, cert: String(admin.cert), key: String(admin.key) };
}
