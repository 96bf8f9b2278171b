/**
 * Three nodes in network namespaces, two on one link and one behind a router: pods made by the real CNI plugins reach
 * each other, and the world outside sees the node's address. Needs root and the standard CNI plugins.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";

const run = promisify(execFile);
const plugins = ["/opt/cni/bin", "/usr/lib/cni"].find((directory) => existsSync(join(directory, "bridge"))) ?? "";
let root = "";

interface TestNode {
  readonly name: string;
  readonly ip: string;
  readonly podCIDR: string;
  readonly podCIDR6: string;
}
const nodes: readonly TestNode[] = [
  { name: "n1", ip: "172.30.0.11", podCIDR: "10.244.0.0/24", podCIDR6: "fd00:244:0:1::/64" },
  { name: "n2", ip: "172.30.0.12", podCIDR: "10.244.1.0/24", podCIDR6: "fd00:244:0:2::/64" },
  { name: "n3", ip: "172.31.0.13", podCIDR: "10.244.2.0/24", podCIDR6: "fd00:244:0:3::/64" },
];
const routers = { n1: "172.30.0.1", n2: "172.30.0.1", n3: "172.31.0.1" };

const ip = (...words: string[]) => execFileSync("ip", words.join(" ").split(" "), { encoding: "utf8" });
const inside = (namespace: string, ...command: string[]) => run("ip", ["netns", "exec", namespace, ...command]);
const confDir = (node: string) => join(root, node);

async function apply(node: string, members: readonly TestNode[] = nodes, tunnel = "auto"): Promise<void> {
  const script = fileURLToPath(new URL("apply-once.ts", import.meta.url));
  const input = {
    name: node,
    cniConfDir: confDir(node),
    nodes: members.map(({ name, ip: address, podCIDR, podCIDR6 }) => ({
      metadata: { name },
      spec: { podCIDR, podCIDRs: [podCIDR, podCIDR6] },
      status: { addresses: [{ type: "InternalIP", address }] },
    })),
    options: {
      clusterPrefixes: ["10.244.0.0/16", "fd00:244::/48"],
      bridge: "cni0",
      mtu: 0,
      masquerade: true,
      tunnel,
      ipamDir: join(root, `ipam-${node}`),
      bandwidth: false,
    },
  };
  await inside(node, process.execPath, script, JSON.stringify(input));
}

interface PodAddresses {
  readonly ipv4: string;
  readonly ipv6: string;
}

/** Makes a pod as a container runtime does: the plugins of the conflist, one after the other. */
async function addPod(node: string, pod: string): Promise<PodAddresses> {
  ip("netns add", pod);
  const conflist = JSON.parse(readFileSync(join(confDir(node), "10-knarr.conflist"), "utf8"));
  const { cniVersion, name } = conflist;
  const env = {
    ...process.env,
    CNI_COMMAND: "ADD",
    CNI_CONTAINERID: pod,
    CNI_NETNS: `/run/netns/${pod}`,
    CNI_IFNAME: "eth0",
    CNI_PATH: plugins,
  };
  const command = ["netns", "exec", node, join(plugins, "bridge")];
  const input = JSON.stringify({ ...conflist.plugins[0], cniVersion, name });
  const result = JSON.parse(execFileSync("ip", command, { env, input, encoding: "utf8" }));
  const [ipv4 = "", ipv6 = ""] = result.ips.map((i: { address: string }) => i.address.replace(/\/.*$/, ""));
  return { ipv4, ipv6 };
}

const peerScript = fileURLToPath(new URL("tcp-peer.ts", import.meta.url));
const servers: ChildProcess[] = [];

/** Listens in a namespace ("" is this one) until the test ends. */
async function serve(namespace: string): Promise<void> {
  const command = [process.execPath, peerScript, "serve"];
  const words = namespace === "" ? command : ["ip", "netns", "exec", namespace, ...command];
  const server = spawn(words[0] ?? "", words.slice(1), { stdio: ["pipe", "pipe", "inherit"] });
  servers.push(server);
  await once(server.stdout, "data");
}

/** Connects from a namespace and tells the source that the other side saw; rejects when that fails. */
async function ask(namespace: string, address: string, bytes = 1): Promise<string> {
  const { stdout } = await inside(namespace, process.execPath, peerScript, "ask", address, String(bytes));
  const [source = "", received] = stdout.split(" ");
  assert.equal(Number(received), bytes);
  return source;
}

if (await isolatedTest(import.meta)) {
  let pods: Record<"p1" | "p2" | "p3", string>;
  let pods6: Record<"p1" | "p2" | "p3", string>;

  before(async () => {
    root = mkdtempSync(join(tmpdir(), "knarr-pod-network-"));
    // This namespace is the router, and the world outside.
    for (const [bridge, address] of [
      ["left", "172.30.0.1/24"],
      ["right", "172.31.0.1/24"],
    ] as const) {
      ip("link add", bridge, "type bridge");
      ip("addr add", address, "dev", bridge);
      ip("link set", bridge, "up");
    }
    execFileSync("sysctl", ["-qw", "net.ipv4.ip_forward=1"]);
    for (const node of nodes) {
      ip("netns add", node.name);
      ip("link add", node.name, "type veth peer name eth0 netns", node.name);
      ip("link set", node.name, "master", node.name === "n3" ? "right" : "left", "up");
      ip("-n", node.name, "addr add", `${node.ip}/24 dev eth0`);
      ip("-n", node.name, "link set eth0 up");
      ip("-n", node.name, "link set lo up");
      ip("-n", node.name, "route add default via", routers[node.name as keyof typeof routers]);
    }
    await Promise.all(nodes.map(({ name }) => apply(name)));
    await serve("");
    const [p1, p2, p3] = [await addPod("n1", "p1"), await addPod("n2", "p2"), await addPod("n3", "p3")];
    pods = { p1: p1.ipv4, p2: p2.ipv4, p3: p3.ipv4 };
    pods6 = { p1: p1.ipv6, p2: p2.ipv6, p3: p3.ipv6 };
    await Promise.all(Object.keys(pods).map(serve));
  });
  after(() => {
    for (const server of servers) server.stdin?.end();
    rmSync(root, { recursive: true, force: true });
  });

  test("pods get addresses of their node's range", () => {
    for (const [pod, range] of [
      ["p1", "10.244.0."],
      ["p2", "10.244.1."],
      ["p3", "10.244.2."],
    ] as const) {
      assert.ok(pods[pod].startsWith(range), pods[pod]);
    }
  });

  for (const [from, to] of [
    ["p1", "p2"],
    ["p2", "p1"],
    ["p1", "p3"],
    ["p3", "p2"],
  ] as const) {
    test(`${from} reaches ${to} under its own address`, async () => {
      assert.equal(await ask(from, pods[to]), pods[from]);
    });
  }

  test("pods reach each other over IPv6, which the tunnel carries between nodes that have IPv4 addresses only", async () => {
    assert.equal(await ask("p1", pods6.p3), pods6.p1);
    assert.equal(await ask("p3", pods6.p2), pods6.p3);
    await ask("p1", pods6.p2, 1_000_000);
  });

  test("nodes reach pods of other nodes", async () => {
    assert.equal(await ask("n1", pods.p2), "172.30.0.11");
    await ask("n3", pods.p1);
  });

  test("pods' interfaces leave room for the tunnel, and much data passes it", async () => {
    assert.match(ip("-n p1 link show eth0"), /mtu 1450/);
    await ask("p1", pods.p3, 1_000_000);
  });

  test("pods reach the world outside under their node's address", async () => {
    assert.equal(await ask("p1", "172.30.0.1"), "172.30.0.11");
    assert.equal(await ask("p3", "172.30.0.1"), "172.31.0.13");
  });

  test("applying again changes nothing", async () => {
    // What the kernel learned itself comes and goes.
    const neighbours = (n: string) => ip("-n", n, "neigh show dev knarr-vxlan nud permanent");
    const state = () => ["n1", "n3"].map((n) => [ip("-n", n, "route"), neighbours(n)]);
    const before = state();
    await apply("n1");
    await apply("n3");
    assert.deepEqual(state(), before);
  });

  test("a node that leaves takes its routes and tunnel entries with it; foreign routes stay", async () => {
    ip("-n n1 route add 192.0.2.0/24 via 172.30.0.1");
    await apply("n1", nodes.slice(0, 1));
    const routes = ip("-n n1 route");
    assert.doesNotMatch(routes, /10\.244\.[12]\./);
    assert.match(routes, /192\.0\.2\.0\/24 via 172\.30\.0\.1/);
    assert.throws(() => execFileSync("ip", ["-n", "n1", "link", "show", "knarr-vxlan"], { stdio: "ignore" }));
    await apply("n1");
    assert.equal(await ask("p1", pods.p3), pods.p1);
  });

  test("everything works through the tunnel alone", async () => {
    for (const { name } of nodes) await apply(name, nodes, "always");
    assert.equal(await ask("p1", pods.p2), pods.p1);
    assert.equal(await ask("p2", pods.p3), pods.p2);
  });
}
