/** The name servers that are compared, each with the same records, each on a port of its own, held to one core. */
import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { clusterIpOf, startFakeCluster, writeKubeconfig } from "../proxy/fake-cluster.ts";

const DNS = fileURLToPath(new URL("../../../packages/cluster-dns/src/main.ts", import.meta.url));

export const peers = ["cluster-dns", "dnsmasq", "unbound"] as const;
export type Peer = (typeof peers)[number];

export interface RunningPeer {
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

export interface PeerOptions {
  readonly folder: string;
  readonly services: number;
  readonly core: number;
}

export function nameOf(index: number): string {
  return `web-${index}.bench.svc.cluster.local`;
}

const ports: Readonly<Record<Peer, number>> = { "cluster-dns": 5301, dnsmasq: 5302, unbound: 5303 };

export async function startPeer(peer: Peer, options: PeerOptions): Promise<RunningPeer> {
  const port = ports[peer];
  const all = Array.from({ length: options.services }, (_, i) => i);
  const file = (name: string, lines: readonly string[]) => {
    const path = join(options.folder, name);
    writeFileSync(path, `${lines.join("\n")}\n`);
    return path;
  };
  switch (peer) {
    case "cluster-dns": {
      const cluster = await startFakeCluster(options.services);
      const kubeconfig = writeKubeconfig(cluster.url, join(options.folder, "kubeconfig"));
      const http = ["health", "ready"].map((what) => `--${what}-bind-address=`);
      const args = [DNS, `--kubeconfig=${kubeconfig}`, `--listen=127.0.0.1:${port}`, "--upstream=none", ...http];
      return pinned(process.execPath, [...args, "--metrics-bind-address="], { ...options, port }, () => cluster.stop());
    }
    case "dnsmasq": {
      const hosts = file(
        "hosts",
        all.map((i) => `${clusterIpOf(i)} ${nameOf(i)}`),
      );
      const args = [
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        `--addn-hosts=${hosts}`,
      ];
      args.push("--listen-address=127.0.0.1", "--bind-interfaces", `--port=${port}`, "--local-ttl=5", "--pid-file=");
      return pinned("dnsmasq", [...args, "--user=root", "--log-facility=/dev/null"], { ...options, port });
    }
    case "unbound": {
      const config = file("unbound.conf", [
        "server:",
        `  interface: 127.0.0.1@${port}`,
        "  num-threads: 1",
        "  do-daemonize: no",
        '  username: ""',
        '  chroot: ""',
        '  pidfile: ""',
        "  use-syslog: no",
        "  verbosity: 0",
        '  local-zone: "cluster.local." static',
        ...all.map((i) => `  local-data: "${nameOf(i)}. 5 IN A ${clusterIpOf(i)}"`),
        "remote-control:",
        "  control-enable: no",
      ]);
      return pinned("unbound", ["-d", "-c", config], { ...options, port });
    }
    default:
      throw new TypeError(`unknown peer ${JSON.stringify(peer satisfies never)}`);
  }
}

function pinned(
  command: string,
  args: readonly string[],
  { core, port }: { readonly core: number; readonly port: number },
  stopped: () => Promise<void> = async () => {},
): RunningPeer {
  const child: ChildProcess = spawn("taskset", ["-c", String(core), command, ...args], { stdio: "ignore" });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  return {
    port,
    pid: child.pid ?? 0,
    stop: async () => {
      child.kill();
      await ended;
      await stopped();
    },
  };
}
