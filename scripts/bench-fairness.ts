/**
 * `npm run bench:fairness`: how long a node's heartbeat and a leader's lease take while another client floods the server with lists;
 * and what priority and fairness costs when nobody does. Yardsticks of the same run: the server at rest, and without fairness.
 * Needs etcd, no root. Figures: docs/benchmarks/fairness.md.
 */
import { fork } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { coordination, core, rbac } from "@knarr/api/generated/resources.ts";
import { Client } from "@knarr/client/client.ts";
import { startApiserver } from "@knarr/testkit/start-apiserver.ts";
import { startEtcd } from "@knarr/testkit/start-etcd.ts";

const { values } = parseArgs({
  options: {
    objects: { type: "string", default: "2000" },
    connections: { type: "string", default: "100" },
    seconds: { type: "string", default: "12" },
  },
});

interface Latency {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly count: number;
}

function summary(samples: number[]): Latency {
  samples.sort((a, b) => a - b);
  const at = (part: number) => samples[Math.min(samples.length - 1, Math.floor(samples.length * part))] ?? 0;
  return { p50: at(0.5), p99: at(0.99), max: at(1), count: samples.length };
}

/** Renews the lease 20 times a second. */
async function heartbeats(client: Client, key: { namespace: string; name: string }, seconds: number): Promise<Latency> {
  const samples: number[] = [];
  let lease = await client.get(coordination.leases, key);
  const end = performance.now() + seconds * 1_000;
  while (performance.now() < end) {
    const started = performance.now();
    lease = await client.update(coordination.leases, {
      ...lease,
      spec: { ...lease.spec, leaseTransitions: samples.length },
    });
    samples.push(performance.now() - started);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return summary(samples);
}

async function gets(client: Client, count: number): Promise<Latency> {
  const samples: number[] = [];
  for (let i = 0; i < count; i++) {
    const started = performance.now();
    await client.get(core.configmaps, { namespace: "default", name: "bulk-0" });
    samples.push(performance.now() - started);
  }
  return summary(samples);
}

type Phase = Record<"node" | "leader", Latency>;

async function measureServer(
  fair: boolean,
  dir: string,
): Promise<{ rest: Phase; flood: Phase; get: Latency; answers: string }> {
  const etcd = await startEtcd();
  const api = await startApiserver({ etcd, args: [`--enable-priority-and-fairness=${fair}`] });
  try {
    const admin = new Client(api.admin);
    const data = { bulk: "x".repeat(2_000) };
    for (let i = 0; i < Number(values.objects); i++) {
      await admin.create(core.configmaps, {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { namespace: "default", name: `bulk-${i}` },
        data,
      });
    }
    await admin.create(rbac.clusterrolebindings, {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRoleBinding",
      metadata: { name: "flooder" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cluster-admin" },
      subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "flooder" }],
    });
    const node = new Client(await api.user("system:node:n1", ["system:nodes"]));
    const leader = new Client(await api.user("system:kube-scheduler"));
    const leases = {
      node: { namespace: "kube-node-lease", name: "n1" },
      leader: { namespace: "kube-system", name: "kube-scheduler" },
    };
    for (const [client, metadata] of [
      [node, leases.node],
      [leader, leases.leader],
    ] as const) {
      await client.create(coordination.leases, {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata,
        spec: {},
      });
    }
    const both = async (): Promise<Phase> => {
      const [a, b] = await Promise.all([
        heartbeats(node, leases.node, Number(values.seconds)),
        heartbeats(leader, leases.leader, Number(values.seconds)),
      ]);
      return { node: a, leader: b };
    };
    const plain = new Client(await api.user("reader", ["system:authenticated"]));
    await admin.create(rbac.clusterrolebindings, {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRoleBinding",
      metadata: { name: "reader" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "view" },
      subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "reader" }],
    });
    await gets(plain, 500);
    const get = await gets(plain, 3_000);
    const rest = await both();
    const flooder = await api.user("flooder");
    for (const [name, text] of [
      ["ca.crt", flooder.ca],
      ["flooder.crt", flooder.cert],
      ["flooder.key", flooder.key],
    ] as const) {
      await writeFile(join(dir, name), text ?? "", { mode: 0o600 });
    }
    const child = fork(new URL("./bench/fairness/flood.ts", import.meta.url), [
      String(api.port),
      values.connections,
      dir,
    ]);
    try {
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      const flood = await both();
      const counts = await new Promise<Record<string, number>>((resolve) => {
        child.once("message", (message) => resolve(message as Record<string, number>));
        child.send("counts");
      });
      const answers = Object.entries(counts)
        .map(([code, count]) => `${code}: ${count}`)
        .join(", ");
      return { rest, flood, get, answers };
    } finally {
      child.kill();
    }
  } finally {
    await api.stop();
    await etcd.stop();
  }
}

const row = (name: string, { p50, p99, max }: Latency): string =>
  `| ${name} | ${p50.toFixed(1)} | ${p99.toFixed(1)} | ${max.toFixed(1)} |`;

const dir = await mkdtemp(join(tmpdir(), "knarr-fairness-"));
try {
  const fair = await measureServer(true, dir);
  const plain = await measureServer(false, dir);
  process.stdout.write(
    [
      `${values.connections} connections list ${values.objects} ConfigMaps each; milliseconds`,
      "",
      "| what | p50 | p99 | max |",
      "| --- | --- | --- | --- |",
      row("get, at rest, with fairness", fair.get),
      row("get, at rest, without", plain.get),
      row("node's lease, at rest", fair.rest.node),
      row("node's lease, flood, with fairness", fair.flood.node),
      row("node's lease, flood, without", plain.flood.node),
      row("leader's lease, at rest", fair.rest.leader),
      row("leader's lease, flood, with fairness", fair.flood.leader),
      row("leader's lease, flood, without", plain.flood.leader),
      "",
      `the flood was answered ${fair.answers} with fairness, ${plain.answers} without`,
      "",
    ].join("\n"),
  );
} finally {
  await rm(dir, { recursive: true, force: true });
}
