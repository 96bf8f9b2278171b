/** The daemon itself on two nodes in namespaces of their own, against a real API server, with the rights it asks for. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { core, rbac } from "@knarr/api/generated/resources.ts";
import { Client } from "@knarr/client/client.ts";
import { ChildDaemon } from "@knarr/testkit/child-daemon.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { startApiserver, type TestApiserver } from "@knarr/testkit/start-apiserver.ts";
import { startEtcd, type TestEtcd } from "@knarr/testkit/start-etcd.ts";

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const user = "system:knarr:pod-network";
let root = "";
const nodes = [
  { name: "n1", ip: "172.30.0.11", podCIDR: "10.244.0.0/24" },
  { name: "n2", ip: "172.30.0.12", podCIDR: "10.244.1.0/24" },
] as const;
const ip = (...words: string[]) => execFileSync("ip", words.join(" ").split(" "), { encoding: "utf8" });
const conflist = (node: string) => join(root, node, "10-knarr.conflist");

if (await isolatedTest(import.meta)) {
  let etcd: TestEtcd;
  let api: TestApiserver;
  let client: Client;
  let kubeconfig: string;
  const daemons = new Map<string, ChildDaemon>();

  const argsOf = (node: string, ...more: string[]) => [
    "netns",
    "exec",
    node,
    process.execPath,
    main,
    `--kubeconfig=${kubeconfig}`,
    `--hostname-override=${node}`,
    "--cluster-cidr=10.244.0.0/16",
    `--cni-conf-dir=${join(root, node)}`,
    "--sync-period=1s",
    ...more,
  ];
  const start = async (node: string) => {
    const ready = async () => existsSync(conflist(node)) || daemons.get(node) !== undefined;
    daemons.set(node, await ChildDaemon.start({ command: "ip", args: argsOf(node), ready }));
  };
  const eventually = async (what: string, check: () => boolean | Promise<boolean>) => {
    const deadline = Date.now() + 60_000;
    while (!(await check())) {
      assert.ok(Date.now() < deadline, `${what}\n${[...daemons.values()].map((d) => d.output).join("\n")}`);
      await sleep(50);
    }
  };
  const addNode = async ({ name, ip: address, podCIDR }: (typeof nodes)[number]) => {
    const node = await client.create(core.nodes, { metadata: { name }, spec: { podCIDR, podCIDRs: [podCIDR] } });
    const status = { ...node.status, addresses: [{ type: "InternalIP", address }] };
    await client.update(core.nodes, { ...node, status }, { subresource: "status" });
  };

  before(async () => {
    root = mkdtempSync(join(tmpdir(), "knarr-pod-network-"));
    ip("link add bridge0 type bridge");
    ip("addr add 172.30.0.1/24 dev bridge0");
    ip("link set bridge0 up");
    for (const { name, ip: address } of nodes) {
      ip("netns add", name);
      ip("link add", name, "type veth peer name eth0 netns", name);
      ip("link set", name, "master bridge0 up");
      ip("-n", name, "addr add", `${address}/24 dev eth0`);
      ip("-n", name, "link set eth0 up");
      ip("-n", name, "link set lo up");
    }
    etcd = await startEtcd();
    api = await startApiserver({ etcd, advertiseAddress: "172.30.0.1" });
    client = new Client(api.admin);
    await client.create(rbac.clusterroles, {
      metadata: { name: user },
      rules: [
        { apiGroups: [""], resources: ["nodes"], verbs: ["get", "list", "watch"] },
        { apiGroups: [""], resources: ["nodes/status"], verbs: ["patch"] },
      ],
    });
    await client.create(rbac.clusterrolebindings, {
      metadata: { name: user },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: user },
      subjects: [{ kind: "User", apiGroup: "rbac.authorization.k8s.io", name: user }],
    });
    const own = await api.user(user);
    kubeconfig = join(root, "kubeconfig");
    writeFileSync(kubeconfig, readFileSync(own.kubeconfig, "utf8").replaceAll("127.0.0.1", "172.30.0.1"));
    await addNode(nodes[0]);
    await start("n1");
  });
  after(async () => {
    for (const daemon of daemons.values()) await daemon.stop();
    await api?.stop();
    await etcd?.stop();
    rmSync(root, { recursive: true, force: true });
  });

  test("the CNI configuration appears once the node has a range", () => {
    const { plugins } = JSON.parse(readFileSync(conflist("n1"), "utf8"));
    assert.deepEqual(plugins[0].ipam.ranges, [[{ subnet: "10.244.0.0/24" }]]);
    assert.equal(plugins[0].mtu, 1500);
  });

  test("the Node says that its network is available", async () => {
    await eventually("condition", async () => {
      const node = await client.get(core.nodes, { namespace: "", name: "n1" });
      return node.status?.conditions?.some((c) => c.type === "NetworkUnavailable" && c.status === "False") ?? false;
    });
    const node = await client.get(core.nodes, { namespace: "", name: "n1" });
    assert.deepEqual(node.status?.addresses, [{ type: "InternalIP", address: "172.30.0.11" }]);
  });

  test("a node that joins gets a route, one that leaves loses it", async () => {
    await addNode(nodes[1]);
    await eventually("route", () => /10\.244\.1\.0\/24 via 172\.30\.0\.12 .*proto 75/.test(ip("-n n1 route")));
    await client.delete(core.nodes, { namespace: "", name: "n2" });
    await eventually("no route", () => !ip("-n n1 route").includes("10.244.1."));
    await addNode(nodes[1]);
    await eventually("route again", () => ip("-n n1 route").includes("10.244.1."));
  });

  test("a route that someone removed is put back", async () => {
    ip("-n n1 route del 10.244.1.0/24");
    await eventually("route", () => ip("-n n1 route").includes("10.244.1.0/24"));
  });

  test("it is ready, and says so", async () => {
    await eventually("ready", () => {
      const url = "http://127.0.0.1:10246/readyz";
      const script = `const r = await fetch("${url}"); process.exit(r.status === 200 ? 0 : 1)`;
      try {
        execFileSync("ip", ["netns", "exec", "n1", process.execPath, "--input-type=module", "-e", script]);
        return true;
      } catch {
        return false; // Not ready yet, which is what is waited for.
      }
    });
  });

  test("without the API server everything stays, also through a restart", async () => {
    await api.kill();
    const before = ip("-n n1 route");
    await daemons.get("n1")?.kill();
    await start("n1");
    await sleep(1500);
    assert.equal(ip("-n n1 route"), before);
    await api.restart();
  });

  test("--network=none touches nothing", async () => {
    const daemon = await ChildDaemon.start({
      command: "ip",
      args: argsOf("n2", "--network=none"),
      ready: async () => true,
    });
    await sleep(1000);
    assert.equal(existsSync(conflist("n2")), false);
    assert.doesNotMatch(ip("-n n2 route"), /10\.244/);
    await daemon.stop();
  });

  test("--cleanup removes everything", async () => {
    await daemons.get("n1")?.stop();
    execFileSync("ip", argsOf("n1", "--cleanup"), { stdio: "ignore" });
    assert.equal(existsSync(conflist("n1")), false);
    assert.doesNotMatch(ip("-n n1 route"), /proto 75/);
    const rules = execFileSync("ip", ["netns", "exec", "n1", "iptables-save"], { encoding: "utf8" });
    assert.doesNotMatch(rules, /KNARR/);
  });
}
