/** A child of the benchmark: takes one LoadJob, generates the load, sends the result. Ends with its parent. */
import { systemClock } from "@knarr/daemon/clock.ts";
import { createLogger } from "@knarr/daemon/logger.ts";
import { EtcdStore } from "../../packages/apiserver/src/storage/etcd-store.ts";
import { HttpConnection, renderRequest } from "./http-connection.ts";
import { type EtcdJob, type HttpJob, type LoadJob, type LoadMessage, NAME_MARK } from "./job.ts";
import { type Call, measure } from "./measure.ts";

interface Load {
  readonly call: Call;
  close(): void;
}

async function openHttp(job: HttpJob, inFlight: number): Promise<Load> {
  const connections = await Promise.all(Array.from({ length: inFlight }, () => HttpConnection.open(job.server)));
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
  return { call, close: () => void connections.map((connection) => connection.close()) };
}

async function openEtcd(job: EtcdJob): Promise<Load> {
  const tls = { ca: Buffer.from(job.ca), cert: Buffer.from(job.cert), key: Buffer.from(job.key) };
  const store = new EtcdStore(
    { endpoints: [job.endpoint], tls },
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
  if (job.operation === "get") for (let made = 0; made < job.keyCount; made++) await create();
  return { call: job.operation === "get" ? get : create, close: () => store.close() };
}

async function run(job: LoadJob): Promise<void> {
  const tell = (message: LoadMessage) => process.send?.(message);
  try {
    const load = await (job.target === "http" ? openHttp(job, job.inFlight) : openEtcd(job));
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
