/**
 * A control plane for this package's tests: real etcd, real API server, the controller manager as a process; and nodes
 * that exist in the API only, kept Ready, with a kubelet's manners: pods bound here run, get ready, and go when deleted.
 */
import { request } from "node:https";
import { fileURLToPath } from "node:url";
import { coordination, core } from "@knarr/api/generated/resources.ts";
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { isConflict, isNotFound } from "@knarr/apimachinery/status-error.ts";
import { microTime, rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import { Client } from "@knarr/client/client.ts";
import { Informer } from "@knarr/client/informer.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import { ChildDaemon, freePort } from "@knarr/testkit/child-daemon.ts";
import { startApiserver, type TestApiserver } from "@knarr/testkit/start-apiserver.ts";
import { startEtcd, type TestEtcd } from "@knarr/testkit/start-etcd.ts";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));

export interface Harness {
  readonly etcd: TestEtcd;
  readonly api: TestApiserver;
  /** As cluster administrator. */
  readonly client: Client;
  /** Starts one more manager; it ends with the harness. `server` overrides the address it dials (a proxy's). */
  startManager(args?: readonly string[], kubeconfig?: string): Promise<ChildDaemon>;
  /** Starts one more node; its heart beats until `silence`, or the end of the harness. */
  addNode(name: string): Promise<TestNode>;
  stop(): Promise<void>;
}

export interface TestNode {
  /** No more heartbeats, and no more work for its pods. */
  silence(): void;
  /** Back to life. */
  revive(): void;
}

export async function startHarness(): Promise<Harness> {
  const etcd = await startEtcd();
  const api = await startApiserver({ etcd });
  const client = new Client(api.admin);
  const stopping = new AbortController();
  const managers: ChildDaemon[] = [];
  const running: Promise<void>[] = [];
  const identity = await api.user("system:kube-controller-manager");
  return {
    etcd,
    api,
    client,
    startManager: async (args = [], kubeconfig = identity.kubeconfig) => {
      const port = await freePort();
      const manager = await ChildDaemon.start({
        command: process.execPath,
        args: [
          MAIN,
          `--kubeconfig=${kubeconfig}`,
          "--bind-address=127.0.0.1",
          `--secure-port=${port}`,
          "--use-service-account-credentials=true",
          `--root-ca-file=${api.pki.path("ca.crt")}`,
          ...args,
        ],
        ready: () => answers(port, "/healthz"),
      });
      managers.push(manager);
      return manager;
    },
    addNode: async (name) => {
      const node = new KeptNode(client, name);
      await node.register();
      running.push(node.run(stopping.signal));
      return node;
    },
    stop: async () => {
      await Promise.all(managers.map((manager) => manager.stop(5000)));
      stopping.abort(new DOMException("test over", "AbortError"));
      await Promise.allSettled(running);
      client.close();
      await api.stop();
      await etcd.stop();
    },
  };
}

function answers(port: number, path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const outgoing = request({ host: "127.0.0.1", port, path, rejectUnauthorized: false, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    outgoing.once("error", () => resolve(false));
    outgoing.end();
  });
}

let nextAddress = 1;

class KeptNode implements TestNode {
  readonly #client: Client;
  readonly #name: string;
  #alive = true;

  constructor(client: Client, name: string) {
    this.#client = client;
    this.#name = name;
  }

  silence(): void {
    this.#alive = false;
  }

  revive(): void {
    this.#alive = true;
  }

  async register(): Promise<void> {
    const metadata = { name: this.#name, labels: { "kubernetes.io/hostname": this.#name } };
    await this.#client.create(core.nodes, { apiVersion: "v1", kind: "Node", metadata });
    await this.#reportReady();
    await this.#client.create(coordination.leases, {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { namespace: "kube-node-lease", name: this.#name },
      spec: { holderIdentity: this.#name, leaseDurationSeconds: 40, renewTime: microTime(Date.now()) },
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const pods = new Informer<Pod>(this.#client, core.pods, { fieldSelector: `spec.nodeName=${this.#name}` });
    const look = (pod: Pod) => void this.#tend(pod).catch(() => {});
    pods.subscribe({ added: look, updated: (_old, pod) => look(pod) });
    await Promise.all([pods.run(signal), this.#beat(pods, signal)]);
  }

  async #beat(pods: Informer<Pod>, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        if (this.#alive) {
          const body = { spec: { renewTime: microTime(Date.now()) } };
          const key = { namespace: "kube-node-lease", name: this.#name };
          await this.#client.patch(coordination.leases, key, { type: "merge", body }, { signal });
          await this.#reportReady();
          for (const pod of pods.list()) await this.#tend(pod);
        }
      } catch {
        // The API server may be down on purpose; a kubelet would try again too.
      }
      await systemClock.sleep(500, signal).catch(() => {});
    }
  }

  /** Only where it says something else: a heartbeat is the Lease's business. */
  async #reportReady(): Promise<void> {
    const node: Node = await this.#client.get(core.nodes, { namespace: "", name: this.#name });
    if (node.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true) return;
    const now = rfc3339Seconds(Date.now());
    const times = { lastHeartbeatTime: now, lastTransitionTime: now };
    const conditions = [
      { type: "Ready", status: "True", reason: "KubeletReady", message: "kubelet is posting ready status", ...times },
      { type: "MemoryPressure", status: "False", ...times },
      { type: "DiskPressure", status: "False", ...times },
      { type: "PIDPressure", status: "False", ...times },
    ];
    const resources = { cpu: "8", memory: "16Gi", pods: "110" };
    const body = { status: { conditions, capacity: resources, allocatable: resources } };
    await this.#client.patch(
      core.nodes,
      { namespace: "", name: this.#name },
      { type: "strategic", body },
      { subresource: "status" },
    );
  }

  async #tend(pod: Pod): Promise<void> {
    if (!this.#alive) return;
    try {
      if (pod.metadata.deletionTimestamp !== undefined) {
        const preconditions = { uid: pod.metadata.uid };
        await this.#client.delete(core.pods, keyOf(pod), { gracePeriodSeconds: 0, preconditions });
        return;
      }
      const ready = pod.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true;
      if (ready || pod.metadata.annotations?.["test/never-ready"] !== undefined) return;
      // It has ended; only its conditions say otherwise.
      if (pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed") return;
      await this.#client.patch(
        core.pods,
        keyOf(pod),
        { type: "strategic", body: { status: runningStatus(pod) } },
        { subresource: "status" },
      );
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }
}

function runningStatus(pod: Pod): object {
  const now = rfc3339Seconds(Date.now());
  const index = nextAddress++;
  const podIP = pod.status?.podIP ?? `10.200.${index >> 8}.${index & 255}`;
  const conditions = ["Initialized", "ContainersReady", "Ready"].map((type) => ({
    type,
    status: "True",
    lastTransitionTime: now,
  }));
  return { phase: "Running", podIP, podIPs: [{ ip: podIP }], startTime: pod.status?.startTime ?? now, conditions };
}

/** Binds pods without a node to `nodes`, in turn, until the signal aborts: the least of a scheduler. */
export async function runBinder(client: Client, nodes: readonly string[], signal: AbortSignal): Promise<void> {
  let turn = 0;
  const pods = new Informer<Pod>(client, core.pods, { fieldSelector: "spec.nodeName=" });
  pods.subscribe({
    added: (pod) => {
      const name = nodes[turn++ % nodes.length] ?? "";
      const target = { apiVersion: "v1", kind: "Node", name };
      const body = { apiVersion: "v1", kind: "Binding", metadata: { name: pod.metadata.name }, target };
      // Deleted before it was bound, or bound by a binder before us.
      client.createSubresource(core.pods, keyOf(pod), "binding", body).catch(() => {});
    },
  });
  await pods.run(signal);
}

/** Polls until `check` answers something; fails with what it last threw, or with `what`. */
export async function eventually<R>(
  what: string,
  check: () => Promise<R | undefined | false>,
  timeoutMs = 60_000,
): Promise<R> {
  const deadline = Date.now() + timeoutMs;
  let last: unknown = new Error(`${what}: not within ${timeoutMs} ms`);
  while (Date.now() < deadline) {
    try {
      const result = await check();
      if (result !== undefined && result !== false) return result;
    } catch (error) {
      last = error;
    }
    await systemClock.sleep(50);
  }
  throw new Error(what, { cause: last });
}

export async function makeNamespace(client: Client, name: string): Promise<string> {
  await client.create(core.namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  await eventually("the default ServiceAccount", () =>
    client.get(core.serviceaccounts, { namespace: name, name: "default" }),
  );
  return name;
}
