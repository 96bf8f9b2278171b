/**
 * The network of the flow table, built in the namespace in which the test runs (which is the node): two pods on a bridge,
 * a machine outside with a pod of another node behind it, an agent in each.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Client, net, podPort } from "../src/testing/flow-table.ts";
import { type ConnectOrder, type ConnectResult, probe } from "./net-agent.ts";

function ip(...lines: readonly string[]): void {
  for (const line of lines) execFileSync("ip", line.split(" "), { stdio: ["ignore", "ignore", "inherit"] });
}

export class Agent {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (result: ConnectResult) => void>();
  readonly ready: Promise<void>;

  constructor(namespace: string, name: string, port: number) {
    const script = fileURLToPath(new URL("net-agent.ts", import.meta.url));
    const args = ["netns", "exec", namespace, process.execPath, script, name, String(port)];
    this.#child = spawn("ip", args, { stdio: ["pipe", "pipe", "inherit"] });
    const ready = Promise.withResolvers<void>();
    this.ready = ready.promise;
    this.#child.once("exit", (code) => ready.reject(new Error(`agent ${name} ended with code ${code}`)));
    createInterface({ input: this.#child.stdout! }).on("line", (line) => {
      if (line === "ready") return ready.resolve();
      const result = JSON.parse(line) as ConnectResult;
      this.#waiting.get(result.id)?.(result);
      this.#waiting.delete(result.id);
    });
  }

  probe(order: ConnectOrder): Promise<ConnectResult> {
    return new Promise((resolve) => {
      this.#waiting.set(order.id, resolve);
      this.#child.stdin?.write(`${JSON.stringify(order)}\n`);
    });
  }

  stop(): void {
    this.#child.stdin?.end();
  }
}

/** The same pods and neighbour under IPv6 addresses; there is no pod of another node. */
export const net6 = {
  podPrefix: "fd00:180::/48",
  node: "fd00:100::1",
  outside: "fd00:100::2",
  podA: "fd00:180::2",
  podB: "fd00:180::3",
} as const;

/** Without duplicate address detection, which would keep addresses from being used for a second. */
function addIpv6(): void {
  const add = (namespace: string, address: string, device: string) =>
    ip(`${namespace}addr add ${address}/64 dev ${device} nodad`);
  add("", "fd00:180::1", "cni0");
  add("-n pod-a ", net6.podA, "eth0");
  add("-n pod-b ", net6.podB, "eth0");
  add("", net6.node, "uplink");
  add("-n outside ", net6.outside, "eth0");
  for (const pod of ["pod-a", "pod-b"]) ip(`-n ${pod} -6 route add default via fd00:180::1`);
  ip(`-n outside -6 route add default via ${net6.node}`, `-6 route add default via ${net6.outside}`);
  execFileSync("sysctl", ["-qw", "net.ipv6.conf.all.forwarding=1", "net.ipv6.icmp.ratelimit=0"]);
}

export class FlowNetwork {
  readonly #agents: Readonly<Record<Exclude<Client, "node"> | "podB", Agent>>;
  #nextId = 1;

  private constructor(agents: FlowNetwork["agents"]) {
    this.#agents = agents;
  }

  get agents(): Readonly<Record<Exclude<Client, "node"> | "podB", Agent>> {
    return this.#agents;
  }

  static async create(): Promise<FlowNetwork> {
    ip("link add cni0 type bridge", `addr add ${net.bridge}/24 dev cni0`, "link set cni0 up");
    for (const [name, address] of [
      ["pod-a", net.podA],
      ["pod-b", net.podB],
    ] as const) {
      ip(
        `netns add ${name}`,
        `link add ${name} type veth peer name eth0 netns ${name}`,
        `link set ${name} master cni0`,
        `link set ${name} up`,
        // As the bridge plugin does with hairpinMode: a pod may reach itself through its Service.
        `link set ${name} type bridge_slave hairpin on`,
        `-n ${name} addr add ${address}/24 dev eth0`,
        `-n ${name} link set eth0 up`,
        `-n ${name} link set lo up`,
        `-n ${name} route add default via ${net.bridge}`,
      );
    }
    ip(
      "netns add outside",
      "netns add remote",
      "link add uplink type veth peer name eth0 netns outside",
      `addr add ${net.node}/24 dev uplink`,
      "link set uplink up",
      `-n outside addr add ${net.outside}/24 dev eth0`,
      "-n outside link set eth0 up",
      "-n outside link set lo up",
      `-n outside route add default via ${net.node}`,
      `route add default via ${net.outside}`,
      "-n outside link add pods type veth peer name eth0 netns remote",
      "-n outside addr add 10.180.1.1/24 dev pods",
      "-n outside link set pods up",
      `-n remote addr add ${net.remote}/24 dev eth0`,
      "-n remote link set eth0 up",
      "-n remote route add default via 10.180.1.1",
      `route add 10.180.1.0/24 via ${net.outside}`,
    );
    addIpv6();
    const forwarding = "net.ipv4.ip_forward=1";
    // Refusals are ICMP errors, of which the kernel sends a client only one per second unless told otherwise.
    execFileSync("sysctl", ["-qw", forwarding, "net.ipv4.conf.all.route_localnet=1", "net.ipv4.icmp_ratelimit=0"]);
    execFileSync("ip", ["netns", "exec", "outside", "sysctl", "-qw", forwarding]);
    const agents = {
      podA: new Agent("pod-a", "podA", podPort),
      podB: new Agent("pod-b", "podB", podPort),
      remote: new Agent("remote", "remote", podPort),
      outside: new Agent("outside", "outside", 0),
    };
    await Promise.all(Object.values(agents).map((agent) => agent.ready));
    return new FlowNetwork(agents);
  }

  probe(from: Client, to: string, protocol: "tcp" | "udp", timeoutMs: number): Promise<ConnectResult> {
    const order = { id: this.#nextId++, to, protocol, timeoutMs };
    return from === "node" ? probe(order) : this.#agents[from].probe(order);
  }

  stop(): void {
    for (const agent of Object.values(this.#agents)) agent.stop();
  }
}
