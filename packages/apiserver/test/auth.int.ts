/** The bootstrap policy, the authorizers and token checks over a real storage: what is written is in force at once. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { core, rbac } from "@knarr/api/generated/resources.ts";
import type { ObjectKey, ResourceRef } from "@knarr/apimachinery/resource.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import { TokenIssuer } from "../src/authn/issue-token.ts";
import { parseSigningKey } from "../src/authn/service-account-keys.ts";
import { ServiceAccountTokenAuthenticator } from "../src/authn/service-account-token.ts";
import { storageTokenObjects } from "../src/authn/token-objects.ts";
import type { UserInfo } from "../src/authn/types.ts";
import { bootstrapPolicy } from "../src/authz/bootstrap-policy/policy.ts";
import { applyPolicy } from "../src/authz/bootstrap-policy/reconcile.ts";
import { storagePolicyWriter } from "../src/authz/bootstrap-policy/storage-writer.ts";
import { buildAuthorizer } from "../src/authz/build.ts";
import type { Authorizer, AuthorizerAttributes, ResourceAttributes, RuleResolver } from "../src/authz/types.ts";
import { type Bench, startBench, until, untilReady } from "./storage-harness.ts";

const REFS: readonly ResourceRef<unknown>[] = [
  rbac.roles,
  rbac.rolebindings,
  rbac.clusterroles,
  rbac.clusterrolebindings,
  core.pods,
  core.persistentvolumes,
  core.serviceaccounts,
  core.secrets,
  core.nodes,
];
const person = (name: string, ...groups: string[]): UserInfo => ({
  name,
  uid: "",
  groups: [...groups, "system:authenticated"],
  extra: {},
});
const ask = (
  user: UserInfo,
  verb: string,
  resource: string,
  rest: Partial<ResourceAttributes> = {},
): ResourceAttributes => ({
  kind: "resource",
  user,
  verb,
  apiGroup: "",
  apiVersion: "v1",
  resource,
  subresource: "",
  namespace: "default",
  name: "",
  ...rest,
});

describe("authentication and authorisation over storage", () => {
  let bench: Bench;
  let authorizer: Authorizer & RuleResolver;
  const storageOf = (ref: ResourceRef<unknown>) => bench.storage.resource({ ref });
  const write = (ref: ResourceRef<unknown>, key: ObjectKey, rest: object) =>
    storageOf(ref).update(key, () => ({ kind: "write", bytes: bytesOf(key, rest) }), { createIfMissing: true });
  /** Node and RBAC answer at once. */
  const decide = (attributes: AuthorizerAttributes) => {
    const decision = authorizer.authorize(attributes);
    assert.ok(!(decision instanceof Promise));
    return decision;
  };
  const allowed = (attributes: ResourceAttributes) => decide(attributes).verdict === "allowed";

  before(async () => {
    bench = await startBench();
    for (const ref of REFS) storageOf(ref);
    await untilReady(bench);
    const settings = [{ type: "Node" }, { type: "RBAC" }] as const;
    authorizer = buildAuthorizer(settings, {
      storage: bench.storage,
      clock: systemClock,
      read: async () => settings,
    }).authorizer;
  });
  after(() => bench.stop());

  test("applyPolicy() brings the whole policy, and nothing the second time", async () => {
    const writer = storagePolicyWriter(storageOf, systemClock);
    const first = await applyPolicy(bootstrapPolicy(), writer);
    assert.ok(first.includes("clusterroles/cluster-admin"));
    assert.deepEqual(await applyPolicy(bootstrapPolicy(), writer), []);
    await storageOf(rbac.roles).list({});
    const admin = JSON.parse(
      (await storageOf(rbac.clusterroles).get({ namespace: "", name: "admin" })).bytes.toString(),
    );
    assert.ok(admin.rules.length > 20);
    assert.match(admin.metadata.uid, /^[0-9a-f-]{36}$/);
  });

  test("applyPolicy() repairs what was taken away and keeps what was added", async () => {
    const key = { namespace: "", name: "system:kube-dns" };
    const roles = storageOf(rbac.clusterroles);
    const extra = { verbs: ["get"], apiGroups: [""], resources: ["nodes"] };
    await roles.update(key, (current) => {
      const role = JSON.parse(current?.bytes.toString() ?? "{}");
      delete role.metadata.resourceVersion;
      return { kind: "write", bytes: Buffer.from(JSON.stringify({ ...role, rules: [extra] })) };
    });
    const written = await applyPolicy(bootstrapPolicy(), storagePolicyWriter(storageOf, systemClock));
    assert.deepEqual(written, ["clusterroles/system:kube-dns"]);
    const { rules } = JSON.parse((await roles.get(key)).bytes.toString());
    assert.deepEqual(rules[0], extra);
    assert.deepEqual(rules[1].resources, ["endpoints", "services"]);
  });

  test("the policy gives each component what it needs", async () => {
    await until("the roles are in force", () =>
      allowed(ask(person("system:kube-scheduler"), "create", "pods", { subresource: "binding" })),
    );
    const controllerManager = person("system:kube-controller-manager");
    assert.ok(allowed(ask(controllerManager, "watch", "deployments", { apiGroup: "apps", namespace: "" })));
    assert.ok(
      allowed(
        ask(person("system:serviceaccount:kube-system:deployment-controller"), "create", "replicasets", {
          apiGroup: "apps",
        }),
      ),
    );
    assert.ok(
      allowed(
        ask(person("system:kube-proxy"), "list", "endpointslices", { apiGroup: "discovery.k8s.io", namespace: "" }),
      ),
    );
    assert.ok(!allowed(ask(person("system:kube-proxy"), "get", "secrets")));
    assert.ok(!allowed(ask(person("bob"), "get", "pods")));
    assert.equal(decide({ kind: "nonResource", user: person("bob"), verb: "get", path: "/api/v1" }).verdict, "allowed");
  });

  test("decisions stay flat with 2,000 bindings", { timeout: 240_000 }, async () => {
    const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "view" };
    /** Milliseconds of this thread's own work: what a busy machine gives to others doesn't count. */
    const time = (user: UserInfo) => {
      const start = process.threadCpuUsage();
      for (let i = 0; i < 2_000; i++) authorizer.authorize(ask(user, "get", "pods"));
      const spent = process.threadCpuUsage(start);
      return (spent.user + spent.system) / 1000;
    };
    const put = (i: number) =>
      write(
        rbac.rolebindings,
        { namespace: "default", name: `b${i}` },
        { roleRef, subjects: [{ kind: "User", name: `u${i}` }] },
      );
    await put(0);
    await until("the first binding is in force", () => allowed(ask(person("u0"), "get", "pods")));
    time(person("u0"));
    const few = time(person("u0"));
    for (let i = 1; i < 2_000; i += 50) await Promise.all(Array.from({ length: 50 }, (_, n) => put(i + n)));
    await until("the last binding is in force", () => allowed(ask(person("u1999"), "get", "pods")));
    const many = Math.min(time(person("u0")), time(person("u0")), time(person("u0")));
    // A scan of all bindings would be a thousand times slower; the bound leaves room for a busy machine.
    assert.ok(many < few * 20 + 50, `${few} ms before, ${many} ms after`);
  });

  test("a node may read a pod's Secret from its binding on, and no longer than it lives", async () => {
    const node = { name: "system:node:n1", uid: "", groups: ["system:nodes", "system:authenticated"], extra: {} };
    const reads = () => allowed(ask(node, "get", "secrets", { namespace: "shop", name: "key" }));
    const key = { namespace: "shop", name: "web" };
    const spec = { containers: [], volumes: [{ name: "s", secret: { secretName: "key" } }] };
    await write(core.pods, key, { spec });
    await storageOf(core.pods).list({});
    assert.equal(reads(), false);
    await write(core.pods, key, { spec: { ...spec, nodeName: "n1" } });
    await until("the node may read the Secret", reads);
    await storageOf(core.pods).delete(key);
    await until("the node may not any more", () => !reads());
  });

  test("a token is good in the moment its ServiceAccount and pod exist, and bad when they are gone", async () => {
    const pem = generateKeyPairSync("ec", { namedCurve: "P-256" })
      .privateKey.export({ type: "pkcs8", format: "pem" })
      .toString();
    const key = parseSigningKey(pem);
    const objects = storageTokenObjects(bench.storage);
    const issuer = new TokenIssuer({ issuer: "i", key, audiences: ["api"], objects, clock: systemClock });
    const tokens = new ServiceAccountTokenAuthenticator({
      issuers: ["i"],
      audiences: ["api"],
      keys: [key],
      objects,
      clock: systemClock,
    });
    const account = { namespace: "shop", name: "sa" };
    const podKey = { namespace: "shop", name: "bound" };
    await write(core.serviceaccounts, account, {});
    await write(core.pods, podKey, { spec: { serviceAccountName: "sa", containers: [] } });
    const { request } = await issuer.issue(account, {
      metadata: {},
      spec: { boundObjectRef: { apiVersion: "v1", kind: "Pod", name: "bound" } },
    });
    const token = request.status?.token ?? "";
    assert.equal((await tokens.authenticateToken(token, []))?.user.name, "system:serviceaccount:shop:sa");
    await storageOf(core.pods).delete(podKey);
    await storageOf(core.pods).list({});
    await assert.rejects(tokens.authenticateToken(token, []), /invalidated/);
  });
});

function bytesOf(key: ObjectKey, rest: object): Buffer {
  const namespace = key.namespace === "" ? {} : { namespace: key.namespace };
  return Buffer.from(JSON.stringify({ metadata: { name: key.name, ...namespace, uid: `uid-${key.name}` }, ...rest }));
}
