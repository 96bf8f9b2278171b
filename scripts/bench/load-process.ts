/** A child of the benchmark: takes one LoadJob, generates the load, sends the result. Ends with its parent. */
import { systemClock } from "@knarr/daemon/clock.ts";
import { createLogger } from "@knarr/daemon/logger.ts";
import type { EtcdOptions } from "../../packages/apiserver/src/storage/etcd-connection.ts";
import { EtcdStore } from "../../packages/apiserver/src/storage/etcd-store.ts";
import { HttpConnection, renderRequest } from "./http-connection.ts";
import {
  COUNT_MARK,
  type EtcdJob,
  type HttpJob,
  type LoadJob,
  type LoadMessage,
  NAME_MARK,
  VERSION_MARK,
} from "./job.ts";
import { type Call, measure } from "./measure.ts";

interface Load {
  readonly call: Call;
  close(): void;
}

async function openHttp(job: HttpJob, inFlight: number): Promise<Load> {
  const connections = await Promise.all(Array.from({ length: inFlight }, () => HttpConnection.open(job.server)));
  const close = () => void connections.map((connection) => connection.close());
  if (job.method === "PUT") return { call: await updatesOver(connections, job), close };
  const requests = job.method === "GET" ? job.paths.map((path) => renderRequest("GET", path)) : [];
  let sent = 0;
  const nextRequest = (): Buffer => {
    const count = sent++;
    if (job.method === "GET") return requests[count % requests.length] as Buffer;
    const name = `${job.namePrefix}${String(count).padStart(7, "0")}`;
    return renderRequest("POST", job.path, job.template.replaceAll(NAME_MARK, name));
  };
  const call: Call = async (lane) => {
    const { status, bodyBytes, start } = await (connections[lane] as HttpConnection).send(nextRequest());
    return status === job.expectStatus ? { bytes: bodyBytes } : { failure: `${status}: ${start}` };
  };
  return { call, close };
}

/** Every lane reads its object's version, then puts the object again and again, guarded by the version of the last answer. */
async function updatesOver(
  connections: readonly HttpConnection[],
  job: HttpJob & { readonly method: "PUT" },
): Promise<Call> {
  const objectOf = (lane: number) => job.objects[lane] ?? { path: "", template: "" };
  const versionOf = (start: string) => /"resourceVersion":"(\d+)"/.exec(start)?.[1] ?? "0";
  const versions = await Promise.all(
    connections.map(async (connection, lane) => {
      return versionOf((await connection.send(renderRequest("GET", objectOf(lane).path))).start);
    }),
  );
  let sent = 0;
  return async (lane) => {
    const { path, template } = objectOf(lane);
    const body = template.replace(VERSION_MARK, versions[lane] ?? "").replace(COUNT_MARK, String(sent++));
    const answer = await (connections[lane] as HttpConnection).send(renderRequest("PUT", path, body));
    if (answer.status !== job.expectStatus) return { failure: `${answer.status}: ${answer.start}` };
    versions[lane] = versionOf(answer.start);
    return { bytes: answer.bodyBytes };
  };
}

function tlsOf({ ca, cert, key }: EtcdJob): Pick<EtcdOptions, "tls"> {
  if (ca === undefined || cert === undefined || key === undefined) return {};
  return { tls: { ca: Buffer.from(ca), cert: Buffer.from(cert), key: Buffer.from(key) } };
}

async function openEtcd(job: EtcdJob, inFlight: number): Promise<Load> {
  const store = new EtcdStore(
    { endpoints: [job.endpoint], ...tlsOf(job) },
    { clock: systemClock, log: createLogger({ name: "bench", level: "warn" }) },
  );
  const value = Buffer.alloc(job.valueBytes, "x");
  const keyOf = (index: number) => `${job.keyPrefix}${String(index).padStart(7, "0")}`;
  let sent = 0;
  const create = async (): ReturnType<Call> => {
    const outcome = await store.create(keyOf(sent++), value);
    return outcome.ok ? { bytes: value.length } : { failure: "the key exists" };
  };
  const get = async (): ReturnType<Call> => {
    const { item } = await store.get(keyOf(sent++ % job.keyCount));
    return item === undefined ? { failure: "the key is absent" } : { bytes: item.value.length };
  };
  const versions: number[] = [];
  const update = async (lane: number): ReturnType<Call> => {
    const outcome = await store.replace(keyOf(lane), value, versions[lane] ?? 0);
    if (!outcome.ok) return { failure: "the key has another version" };
    versions[lane] = outcome.revision;
    return { bytes: value.length };
  };
  if (job.operation === "update") for (let lane = 0; lane < inFlight; lane++) await update(lane);
  if (job.operation === "get") for (let made = 0; made < job.keyCount; made++) await create();
  return { call: { create, update, get }[job.operation], close: () => store.close() };
}

async function run(job: LoadJob): Promise<void> {
  const tell = (message: LoadMessage) => process.send?.(message);
  try {
    const load = await (job.target === "http" ? openHttp(job, job.inFlight) : openEtcd(job, job.inFlight));
    const { inFlight, warmUpMs, measureMs } = job;
    const onMeasuring = () => tell({ kind: "measuring" });
    const result = await measure(load.call, { inFlight, warmUpMs, measureMs, onMeasuring });
    load.close();
    tell({ kind: "result", result });
  } catch (error) {
    tell({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
  }
}

process.once("message", (job) => void run(job as LoadJob));
process.once("disconnect", () => process.exit(0));
