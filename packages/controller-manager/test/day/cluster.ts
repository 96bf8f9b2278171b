/**
 * The stage of the scripted day: nodes, a scheduler and ending Jobs are played over a good link; managers with identities
 * of their own reach the API server through a link that misbehaves.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { core } from "@knarr/api/generated/resources.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { StatusError } from "@knarr/apimachinery/status-error.ts";
import { Informer } from "@knarr/client/informer.ts";
import type { ChildDaemon } from "@knarr/testkit/child-daemon.ts";
import { type FaultProxy, startFaultProxy } from "@knarr/testkit/fault-proxy.ts";
import { endPod } from "../end-pod.ts";
import { eventually, type Harness, startHarness, type TestNode } from "../harness.ts";

const NODES = ["n1", "n2", "n3", "n4"];
const MANAGER_ARGS = [
  "--leader-elect-lease-duration=4s",
  "--leader-elect-renew-deadline=3s",
  "--leader-elect-retry-period=500ms",
  "--node-monitor-grace-period=6s",
  "--node-monitor-period=1s",
  "--node-eviction-rate=10",
  // So that the audit log tells the processes apart.
  "--use-service-account-credentials=false",
];

export interface Manager {
  readonly name: string;
  readonly daemon: ChildDaemon;
}

export interface DayCluster {
  readonly harness: Harness;
  readonly link: FaultProxy;
  readonly nodes: ReadonlyMap<string, TestNode>;
  readonly managers: Manager[];
  startManager(): Promise<void>;
  /** The one of the managers in the list that says it leads; each leads once and ends after it. */
  leader(): Promise<Manager | undefined>;
  /** Who wrote, in the server's order; runs of the same writer once. */
  writers(): Promise<string[]>;
  stop(): Promise<void>;
}

export async function startDayCluster(): Promise<DayCluster> {
  const harness = await startHarness();
  const { api } = harness;
  const link = await startFaultProxy({ port: api.port });
  const stopping = new AbortController();
  const nodes = new Map<string, TestNode>();
  for (const name of NODES) nodes.set(name, await harness.addNode(name));
  const playing = play(harness, stopping.signal);
  const managers: Manager[] = [];
  let serial = 0;
  const startManager = async () => {
    const name = `manager-${++serial}`;
    const { kubeconfig } = await api.user(name, ["system:masters"]);
    const distant = join(api.dir, `${name}-distant.conf`);
    const text = await readFile(kubeconfig, "utf8");
    await writeFile(distant, text.replaceAll(api.server, `https://${link.address}`), { mode: 0o600 });
    const manager = { name, daemon: await harness.startManager(MANAGER_ARGS, distant) };
    managers.push(manager);
    // One that lost its lease ends, and is started anew by its supervisor; those that are killed have left the list.
    void manager.daemon.exited.then(async () => {
      if (stopping.signal.aborted || !managers.includes(manager)) return;
      managers.splice(managers.indexOf(manager), 1);
      await startManager().catch((error: unknown) => {
        if (!stopping.signal.aborted) throw error;
      });
    });
  };
  return {
    harness,
    link,
    nodes,
    managers,
    startManager,
    leader: async () => managers.find(({ daemon }) => daemon.output.includes('"msg":"leading"')),
    writers: () => writersOf(join(api.dir, "audit.log")),
    stop: async () => {
      stopping.abort(new DOMException("the day is over", "AbortError"));
      await Promise.allSettled(playing);
      await link.stop();
      await harness.stop();
    },
  };
}

function play({ client }: Harness, signal: AbortSignal): Promise<void>[] {
  let turn = 0;
  const refused = (error: unknown) => {
    // Gone, changed, bound: the next event tells. Aborted: the day is over.
    if (!(error instanceof StatusError) && !signal.aborted) throw error;
  };
  const unbound = new Informer<Pod>(client, core.pods, { fieldSelector: "spec.nodeName=" });
  unbound.subscribe({
    added: (pod) => {
      const name = wantedNode(pod) ?? NODES[turn++ % NODES.length] ?? "";
      const target = { apiVersion: "v1", kind: "Node", name };
      const body = { apiVersion: "v1", kind: "Binding", metadata: { name: pod.metadata.name }, target };
      client.createSubresource(core.pods, keyOf(pod), "binding", body).catch(refused);
    },
  });
  const ofJobs = new Informer<Pod>(client, core.pods, { labelSelector: "batch.kubernetes.io/job-name" });
  ofJobs.subscribe({
    updated: (_old, pod) => {
      const runs = pod.status?.phase === "Running" && pod.metadata.deletionTimestamp === undefined;
      if (runs) endPod(client, pod, 0).catch(refused);
    },
  });
  return [unbound.run(signal), ofJobs.run(signal)];
}

/** DaemonSets say where each of their pods belongs. */
function wantedNode(pod: Pod): string | undefined {
  const terms = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  return terms?.[0]?.matchFields?.find(({ key }) => key === "metadata.name")?.values?.[0];
}

async function writersOf(path: string): Promise<string[]> {
  const WRITES = ["create", "update", "patch", "delete", "deletecollection"];
  const writes = (await readFile(path, "utf8"))
    .split("\n")
    .filter((line) => line.includes('"manager-'))
    .map((line) => JSON.parse(line))
    .filter(({ stage, verb, user, objectRef }) => {
      // Leases are written by followers, too; reviews change nothing.
      const counts = stage === "ResponseComplete" && WRITES.includes(verb) && objectRef?.resource !== "leases";
      return counts && /^manager-/.test(user.username) && !objectRef?.resource.endsWith("reviews");
    })
    .sort((a, b) => (a.requestReceivedTimestamp < b.requestReceivedTimestamp ? -1 : 1));
  return writes.map(({ user }) => user.username as string).filter((name, i, all) => name !== all[i - 1]);
}

/** Resolves once some manager leads. */
export function someoneLeads(cluster: DayCluster): Promise<Manager> {
  return eventually("a leader", () => cluster.leader(), 60_000);
}
