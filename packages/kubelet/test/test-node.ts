/** A node of one real API server, in the namespaces of an isolated test: etcd, API server, containerd, kubelet. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { core } from "@knarr/api/generated/resources.ts";
import type { ContainerStatus, Event, Pod, PodSpec } from "@knarr/api/generated/types/core-v1.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { Client } from "@knarr/client/client.ts";
import { openRuntime } from "@knarr/cri/open-runtime.ts";
import type { Runtime } from "@knarr/cri/runtime.ts";
import { removeCgroups } from "@knarr/testkit/isolated-test.ts";
import { startApiserver, type TestApiserver } from "@knarr/testkit/start-apiserver.ts";
import { startEtcd, type TestEtcd } from "@knarr/testkit/start-etcd.ts";
import { startKubelet, type TestKubelet } from "./start-kubelet.ts";
import { type StartRuntimeOptions, startRuntime, type TestRuntime } from "./start-runtime.ts";

export const NODE = "node-1";
/** For what must come: only a failure waits that long. */
export const PATIENCE_MS = 120_000;
const run = promisify(execFile);

export interface TestNodeOptions extends StartRuntimeOptions {
  /** More flags of the kubelet. */
  readonly args?: readonly string[];
}

export class TestNode {
  readonly client: Client;
  readonly api: TestApiserver;
  readonly containerd: TestRuntime;
  readonly kubelet: TestKubelet;
  readonly runtime: Runtime;
  readonly #etcd: TestEtcd;
  readonly cgroupRoot: string;

  private constructor(parts: {
    etcd: TestEtcd;
    api: TestApiserver;
    containerd: TestRuntime;
    kubelet: TestKubelet;
    cgroupRoot: string;
    runtime: Runtime;
  }) {
    this.api = parts.api;
    this.containerd = parts.containerd;
    this.kubelet = parts.kubelet;
    this.#etcd = parts.etcd;
    this.cgroupRoot = parts.cgroupRoot;
    this.client = new Client(parts.api.admin);
    this.runtime = parts.runtime;
  }

  /** Throws with what did not start; nothing of it goes on then. */
  static async start(options: TestNodeOptions = {}): Promise<TestNode> {
    const started: { stop(): Promise<void> }[] = [];
    try {
      return await TestNode.#start(options, started);
    } catch (error) {
      for (const part of started.toReversed()) await part.stop();
      throw error;
    }
  }

  static async #start(options: TestNodeOptions, started: { stop(): Promise<void> }[]): Promise<TestNode> {
    const cgroupRoot = `/knarr-test-${process.pid}-${Date.now()}`;
    const noted = async <T extends { stop(): Promise<void> }>(starting: Promise<T>): Promise<T> => {
      const part = await starting;
      started.push(part);
      return part;
    };
    const etcd = await noted(startEtcd());
    const [api, containerd] = await Promise.all([noted(startApiserver({ etcd })), noted(startRuntime(options))]);
    const user = await api.user(`system:node:${NODE}`, ["system:nodes"]);
    await api.pki.issue("kubelet", { commonName: `system:node:${NODE}`, ipAddresses: ["127.0.0.1"], dnsNames: [NODE] });
    const client = new Client(api.admin);
    const account = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default", namespace: "default" } };
    await client.create(core.serviceaccounts, account).catch(() => undefined);
    // The controller manager's part: every pod mounts it beside its token.
    const caData = { "ca.crt": api.pki.caCert };
    await client.create(core.configmaps, {
      metadata: { name: "kube-root-ca.crt", namespace: "default" },
      data: caData,
    });
    client.close();
    const kubelet = await noted(
      startKubelet({
        directory: join(containerd.directory, "node"),
        endpoint: containerd.endpoint,
        cgroupRoot,
        args: [
          `--kubeconfig=${user.kubeconfig}`,
          `--client-ca-file=${api.pki.path("ca.crt")}`,
          `--tls-cert-file=${api.pki.path("kubelet.crt")}`,
          `--tls-private-key-file=${api.pki.path("kubelet.key")}`,
          ...containerd.kubeletArgs,
          ...(options.args ?? []),
        ],
      }),
    );
    // Of Docker it sees what is the kubelet's.
    const runtime = await openRuntime(containerd.endpoint, { stateDirectory: join(kubelet.rootDir, "docker") });
    return new TestNode({ etcd, api, containerd, kubelet, cgroupRoot, runtime });
  }

  async stop(): Promise<void> {
    if (process.env.KNARR_SHOW_OUTPUT !== undefined) process.stderr.write(this.kubelet.output());
    await this.kubelet.stop();
    await this.api.stop();
    await this.#etcd.stop();
    this.client.close();
    this.runtime.close();
    await this.containerd.stop();
    await removeCgroups(this.cgroupRoot);
  }

  /** Binds the pod to the node itself: no scheduler runs here. */
  async create(
    name: string,
    spec: Partial<PodSpec> & Pick<PodSpec, "containers">,
    more: Partial<Pod["metadata"]> = {},
  ): Promise<Pod> {
    const pod: Pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "default", ...more },
      spec: { nodeName: NODE, terminationGracePeriodSeconds: 1, ...spec },
    };
    return await this.client.create(core.pods, pod);
  }

  get(name: string): Promise<Pod> {
    return this.client.get(core.pods, { namespace: "default", name });
  }

  /** Waits until the pod is as asked; fails with its last state. */
  async until(name: string, what: string, is: (pod: Pod) => boolean, timeoutMs = PATIENCE_MS): Promise<Pod> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const pod = await this.get(name);
      // Of a pod that is refused, no containers are told.
      const told = pod.status?.containerStatuses !== undefined || pod.status?.phase === "Failed";
      if (told && is(pod)) return pod;
      if (Date.now() > deadline) {
        const events = (await this.events(name)).map((e) => `${e.reason}: ${e.message}`);
        assert.fail(`${name} never ${what}: ${JSON.stringify(pod.status, null, 1)}\n${events.join("\n")}`);
      }
      await sleep(25);
    }
  }

  ready(name: string): Promise<Pod> {
    return this.until(name, "is ready", (pod) => condition(pod, "Ready")?.status === "True");
  }

  failed(name: string): Promise<Pod> {
    return this.until(name, "fails", (pod) => pod.status?.phase === "Failed");
  }

  async remove(name: string, gracePeriodSeconds?: number): Promise<void> {
    const key = { namespace: "default", name };
    await this.client.delete(core.pods, key, gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds });
    await this.gone(name);
  }

  async gone(name: string): Promise<void> {
    for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; ) {
      try {
        await this.get(name);
      } catch (error) {
        if (isNotFound(error)) return;
        throw error;
      }
      await sleep(25);
    }
    assert.fail(`${name} is still there`);
  }

  async events(pod: string): Promise<Event[]> {
    const { items } = await this.client.list(core.events, { namespace: "default" });
    return items.filter((e) => e.involvedObject.name === pod);
  }

  async untilEvent(pod: string, reason: string, message?: string): Promise<Event> {
    for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; ) {
      const found = (await this.events(pod)).find(
        (e) => e.reason === reason && (message === undefined || e.message === message),
      );
      if (found !== undefined) return found;
      await sleep(50);
    }
    return assert.fail(
      `no event ${reason} about ${pod}: ${(await this.events(pod)).map((e) => `${e.reason}: ${e.message}`).join("\n")}`,
    );
  }

  /** Waits until the log is this: a container is Ready when its process is there, before that has said anything. */
  async untilLog(pod: string, text: string, container?: string): Promise<void> {
    await this.#untilSays(["logs", pod, ...(container === undefined ? [] : ["-c", container])], text);
  }

  /** Waits until a command inside says this: what a container does first, it may still have to do when it is Ready. */
  async untilExec(pod: string, command: readonly string[], text: string): Promise<void> {
    await this.#untilSays(["exec", pod, "--", ...command], text);
  }

  async #untilSays(args: readonly string[], text: string): Promise<void> {
    let said = "";
    for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; await sleep(100)) {
      said = await this.kubectl(...args);
      if (said === text) return;
    }
    assert.equal(said, text);
  }

  async kubectl(...args: string[]): Promise<string> {
    const env = { ...process.env, KUBECONFIG: this.api.kubeconfig };
    const { stdout } = await run("kubectl", args, { env, timeout: PATIENCE_MS });
    return stdout;
  }

  async exec(pod: string, ...command: string[]): Promise<string> {
    return await this.kubectl("exec", pod, "--", ...command);
  }
}

export function condition(pod: Pod, type: string) {
  return pod.status?.conditions?.find((c) => c.type === type);
}

export function statusOf(pod: Pod, container: string): ContainerStatus {
  const all = [
    ...(pod.status?.initContainerStatuses ?? []),
    ...(pod.status?.containerStatuses ?? []),
    ...(pod.status?.ephemeralContainerStatuses ?? []),
  ];
  const found = all.find((s) => s.name === container);
  assert.ok(found, `no status of ${container}`);
  return found;
}

/** A busybox container that runs a script. */
export function shell(name: string, script: string) {
  return { name, image: "knarr.local/busybox:1", command: ["/bin/sh", "-c", script] };
}

/** Runs until TERM, then ends at once. */
export const WAIT = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done";
