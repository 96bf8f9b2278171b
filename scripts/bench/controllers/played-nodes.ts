/** Nodes whose kubelets and scheduler are played: heartbeats as a kubelet's, pods bound in turn, running at once, gone at once. */
import { coordination, core } from "../../../packages/api/src/generated/resources.ts";
import type { Pod } from "../../../packages/api/src/generated/types/core-v1.ts";
import { keyOf } from "../../../packages/apimachinery/src/object.ts";
import { StatusError } from "../../../packages/apimachinery/src/status-error.ts";
import { microTime, rfc3339Seconds } from "../../../packages/apimachinery/src/time.ts";
import type { Client } from "../../../packages/client/src/client.ts";
import { Informer } from "../../../packages/client/src/informer.ts";

/** As kubelets renew their Leases. */
const BEAT_MS = 10_000;

export class PlayedNodes {
  readonly #client: Client;
  readonly #stopping = new AbortController();
  readonly #names: string[] = [];
  readonly #silent = new Set<string>();
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #running: Promise<void>[] = [];
  #turn = 0;
  #address = 0;

  constructor(client: Client) {
    this.#client = client;
  }

  /** Registers `count` nodes; each beats from then on. */
  async add(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const name = `node-${this.#names.length}`;
      this.#names.push(name);
      await this.#register(name);
      const beat = () => void this.#beat(name).catch(ignoreRefusals);
      // Spread over the period, as the beats of nodes that started at different times are.
      const first = setTimeout(
        () => {
          beat();
          this.#timers.push(setInterval(beat, BEAT_MS));
        },
        Math.floor((BEAT_MS * i) / count),
      );
      this.#timers.push(first);
    }
  }

  /** From now on pods are bound and run; those on silent nodes are left alone. */
  play(): void {
    const pods = new Informer<Pod>(this.#client, core.pods);
    const look = (pod: Pod) => void this.#tend(pod).catch(ignoreRefusals);
    pods.subscribe({ added: look, updated: (_old, pod) => look(pod) });
    this.#running.push(pods.run(this.#stopping.signal));
  }

  silence(name: string): void {
    this.#silent.add(name);
  }

  /** Binds every new pod to this node; undefined: all in turn. */
  only: string | undefined;

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#stopping.abort();
    await Promise.allSettled(this.#running);
  }

  async #register(name: string): Promise<void> {
    const metadata = { name, labels: { "kubernetes.io/hostname": name } };
    await this.#client.create(core.nodes, { apiVersion: "v1", kind: "Node", metadata });
    const now = rfc3339Seconds(Date.now());
    const conditions = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"].map((type) => ({
      type,
      status: type === "Ready" ? "True" : "False",
      lastHeartbeatTime: now,
      lastTransitionTime: now,
    }));
    const resources = { cpu: "64", memory: "256Gi", pods: "2000" };
    const body = { status: { conditions, capacity: resources, allocatable: resources } };
    await this.#client.patch(
      core.nodes,
      { namespace: "", name },
      { type: "strategic", body },
      { subresource: "status" },
    );
    await this.#client.create(coordination.leases, {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { namespace: "kube-node-lease", name },
      spec: { holderIdentity: name, leaseDurationSeconds: 40, renewTime: microTime(Date.now()) },
    });
  }

  async #beat(name: string): Promise<void> {
    if (this.#silent.has(name) || this.#stopping.signal.aborted) return;
    const body = { spec: { renewTime: microTime(Date.now()) } };
    await this.#client.patch(coordination.leases, { namespace: "kube-node-lease", name }, { type: "merge", body });
  }

  async #tend(pod: Pod): Promise<void> {
    const nodeName = pod.spec?.nodeName ?? "";
    if (nodeName === "") {
      if (pod.metadata.deletionTimestamp !== undefined) return;
      const awake = this.#names.filter((each) => !this.#silent.has(each));
      const name = this.only ?? awake[this.#turn++ % awake.length] ?? "";
      const target = { apiVersion: "v1", kind: "Node", name };
      const body = { apiVersion: "v1", kind: "Binding", metadata: { name: pod.metadata.name }, target };
      await this.#client.createSubresource(core.pods, keyOf(pod), "binding", body);
    } else if (this.#silent.has(nodeName)) return;
    else if (pod.metadata.deletionTimestamp !== undefined) {
      const preconditions = { uid: pod.metadata.uid };
      await this.#client.delete(core.pods, keyOf(pod), { gracePeriodSeconds: 0, preconditions });
    } else if (pod.status?.phase !== "Running") {
      const now = rfc3339Seconds(Date.now());
      const podIP = `10.${100 + (this.#address >> 16)}.${(this.#address >> 8) & 255}.${this.#address++ & 255}`;
      const conditions = ["Initialized", "ContainersReady", "Ready"].map((type) => ({
        type,
        status: "True",
        lastTransitionTime: now,
      }));
      const body = { status: { phase: "Running", podIP, podIPs: [{ ip: podIP }], startTime: now, conditions } };
      await this.#client.patch(core.pods, keyOf(pod), { type: "strategic", body }, { subresource: "status" });
    }
  }
}

/** Gone, bound or deleted meanwhile: the next event tells. */
function ignoreRefusals(error: unknown): void {
  if (!(error instanceof StatusError)) throw error;
}
