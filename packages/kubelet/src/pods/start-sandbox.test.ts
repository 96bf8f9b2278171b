import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { SandboxConfig } from "@knarr/cri/types.ts";
import type { Config } from "../config.ts";
import { pod } from "../core/testing.ts";
import { DEFAULT_RANGE, UNIT } from "../core/user-namespace.ts";
import type { PodContext } from "./pod-context.ts";
import { PodEvents } from "./pod-events.ts";
import { SandboxError, startSandbox } from "./start-sandbox.ts";
import { UserNamespaces } from "./user-namespaces.ts";

const CLASSES: Readonly<Record<string, string>> = { kata: "kata-handler" };

/** Starts a pod's sandbox in a runtime that only notes what it was asked for. */
async function start(thePod: Pod, more: Partial<Config> = {}, handlers: [name: string, users: boolean][] = []) {
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
    node: () => ({
      networkNotReady: undefined,
      handlers: new Map(handlers.map(([name, userNamespaces]) => [name, { userNamespaces }])),
    }),
    userNamespaces: await UserNamespaces.load({ rootDir, maxPods: 110, idsPerPod: UNIT, range: DEFAULT_RANGE }),
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
  const says = "FailedCreatePodSandBox Failed to create pod sandbox: can't set `spec.hostUsers: false`,";
  const why = 'runtime does not support user namespaces: the handler "" is not known';
  assert.deepEqual([error, made.length], [`${says} ${why}`, 0]);
  const cannot = await start(pod({ hostUsers: false, runtimeClassName: "kata" }), {}, [["kata-handler", false]]);
  const who = 'RuntimeClass handler "kata-handler" does not support user namespaces';
  assert.deepEqual([cannot.error, cannot.made.length], [`${says} ${who}`, 0]);
});

test("startSandbox() gives a pod users of its own where the runtime can, and the node's to all others", async () => {
  const own = await start(pod({ hostUsers: false }), {}, [["", true]]);
  const mapping = { hostId: 65_536, containerId: 0, length: 65_536 };
  const users = (given: typeof own) => given.made[0]?.config.linux?.securityContext?.namespaceOptions.usernsOptions;
  assert.deepEqual(users(own), { mode: "POD", uids: [mapping], gids: [mapping] });
  for (const spec of [{}, { hostUsers: true }]) assert.deepEqual(users(await start(pod(spec))), { mode: "NODE" });
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
