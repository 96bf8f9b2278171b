import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { SandboxConfig } from "@knarr/cri/types.ts";
import type { Config } from "../config.ts";
import { pod } from "../core/testing.ts";
import type { PodContext } from "./pod-context.ts";
import { PodEvents } from "./pod-events.ts";
import { SandboxError, startSandbox } from "./start-sandbox.ts";

const CLASSES: Readonly<Record<string, string>> = { kata: "kata-handler" };

/** Starts a pod's sandbox in a runtime that only notes what it was asked for. */
async function start(thePod: Pod, more: Partial<Config> = {}) {
  const rootDir = await mkdtemp(join(tmpdir(), "knarr-sandbox-"));
  const made: { config: SandboxConfig; handler: string }[] = [];
  const events: string[] = [];
  const config = {
    rootDir,
    podLogDir: rootDir,
    resolvConf: "",
    clusterDns: ["10.96.0.10"],
    clusterDomain: "c.l",
    ...more,
  };
  const context = {
    config,
    cgroups: undefined,
    events: new PodEvents({ event: (_about, type, reason, message) => events.push(`${type} ${reason} ${message}`) }),
    node: () => ({ networkNotReady: undefined, handlers: new Map() }),
    objects: {
      runtimeHandler: async (name: string) => {
        const handler = CLASSES[name];
        if (handler === undefined) throw new Error(`runtimeclasses.node.k8s.io "${name}" not found`);
        return handler;
      },
    },
    runtime: {
      runSandbox: async (sandbox: SandboxConfig, handler: string) => {
        made.push({ config: sandbox, handler });
        return "s0";
      },
    },
  } as unknown as PodContext;
  let error: unknown;
  try {
    await startSandbox(context, thePod, 0, new AbortController().signal);
  } catch (caught) {
    if (!(caught instanceof SandboxError)) throw caught;
    error = `${caught.reason} ${caught.message}`;
  } finally {
    await rm(rootDir, { recursive: true });
  }
  return { made, events, error };
}

test("startSandbox() asks for the handler of the pod's runtime class", async () => {
  const { made, error } = await start(pod({ runtimeClassName: "kata" }));
  assert.equal(error, undefined);
  assert.equal(made[0]?.handler, "kata-handler");
});

test("startSandbox() tells that a runtime class is not there", async () => {
  const { made, error } = await start(pod({ runtimeClassName: "gvisor" }));
  const why = 'Failed to create pod sandbox: runtimeclasses.node.k8s.io "gvisor" not found';
  assert.deepEqual([error, made.length], [`FailedCreatePodSandBox ${why}`, 0]);
});

test("startSandbox() never runs a pod that wants users of its own with the node's", async () => {
  const { made, error } = await start(pod({ hostUsers: false }));
  const why = 'Failed to create pod sandbox: RuntimeClass handler "" does not support user namespaces';
  assert.deepEqual([error, made.length], [`FailedCreatePodSandBox ${why}`, 0]);
});

test("startSandbox() tells that there is no cluster DNS, and takes the node's", async () => {
  const { made, events } = await start(pod(), { clusterDns: [] });
  assert.deepEqual(made[0]?.config.dnsConfig?.servers, []);
  assert.match(events.join(), /^Warning MissingClusterDNS pod: "p_ns\(u1\)". kubelet does not have ClusterDNS IP/);
  assert.match(events.join(), /using "ClusterFirst" policy. Falling back to "Default" policy.$/);
});

test("startSandbox() cuts nameservers to what resolvers take, and says which are applied", async () => {
  const nameservers = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
  const { made, events } = await start(pod({ dnsConfig: { nameservers } }));
  assert.deepEqual(made[0]?.config.dnsConfig?.servers, ["10.96.0.10", "192.0.2.1", "192.0.2.2"]);
  assert.match(
    events.join(),
    /^Warning DNSConfigForming Nameserver limits were exceeded, .* 10.96.0.10 192.0.2.1 192.0.2.2$/,
  );
});
