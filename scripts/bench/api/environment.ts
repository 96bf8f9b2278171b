/** What the API benchmark runs on: an etcd that syncs its log to the disk, an API server over it, both alone on free ports. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { core } from "@knarr/api/generated/resources.ts";
import { Client } from "@knarr/client/client.ts";
import { startApiserver, type TestApiserver } from "@knarr/testkit/start-apiserver.ts";
import { startEtcd, type TestEtcd } from "@knarr/testkit/start-etcd.ts";
import { benchPod, POD_BYTES } from "../bench-pod.ts";

export interface ApiBench {
  readonly etcd: TestEtcd;
  readonly api: TestApiserver;
  readonly client: Client;
  /** A bearer token of system:masters: h2load knows no client certificates. */
  readonly token: string;
  readonly pids: () => ReadonlyMap<"apiserver" | "etcd", number>;
  stop(): Promise<void>;
}

export const READ_NAMESPACE = "bench-read";
export const WRITE_NAMESPACE = "bench-write";
export const podsPath = (namespace: string) => `/api/v1/namespaces/${namespace}/pods`;
export const podName = (index: number) => `pod-${String(index).padStart(7, "0")}`;
const SEEDERS = 16;

export async function startApiBench(): Promise<ApiBench> {
  const etcd = await startEtcd({ fsync: true });
  const token = "bench-token";
  // The API server's folder is made by its start, so the token's file lies with etcd's data.
  const tokenFile = join(etcd.dataDir, "tokens.csv");
  await writeFile(tokenFile, `${token},bench,bench,"system:masters"\n`);
  const api = await startApiserver({
    etcd,
    // Upstream keeps no audit log unless it is told to.
    args: [`--token-auth-file=${tokenFile}`, "--audit-log-path="],
  });
  const client = new Client(api.admin);
  return {
    etcd,
    api,
    client,
    token,
    pids: () =>
      new Map([
        ["apiserver", api.pid],
        ["etcd", etcd.pid],
      ]),
    stop: async () => {
      client.close();
      await api.stop();
      await etcd.stop();
    },
  };
}

export interface Seeded {
  /** One pod as a get answers it. */
  readonly pod: Buffer;
  readonly padding: number;
  readonly createsPerSecond: number;
}

/** Both namespaces with their service accounts (no controller is here to make them), and `count` pods of POD_BYTES. */
export async function seedPods({ client }: ApiBench, count: number): Promise<Seeded> {
  for (const name of [READ_NAMESPACE, WRITE_NAMESPACE]) {
    await client.create(core.namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
    const metadata = { name: "default", namespace: name };
    await client.create(core.serviceaccounts, { apiVersion: "v1", kind: "ServiceAccount", metadata });
  }
  const read = async (path: string) => (await client.request({ method: "GET", path })).body;
  const path = podsPath(READ_NAMESPACE);
  const probe = { namespace: READ_NAMESPACE, name: podName(count) };
  await client.create(core.pods, benchPod(probe.name, READ_NAMESPACE, 0));
  const padding = POD_BYTES - (await read(`${path}/${probe.name}`)).length;
  if (padding < 0) throw new Error(`the pod has ${-padding} bytes more than ${POD_BYTES} without padding`);
  await client.delete(core.pods, probe, { gracePeriodSeconds: 0 });
  const startedMs = performance.now();
  let next = 0;
  const seeder = async () => {
    while (next < count) await client.create(core.pods, benchPod(podName(next++), READ_NAMESPACE, padding));
  };
  await Promise.all(Array.from({ length: SEEDERS }, seeder));
  const createsPerSecond = count / ((performance.now() - startedMs) / 1000);
  return { pod: await read(`${path}/${podName(0)}`), padding, createsPerSecond };
}
