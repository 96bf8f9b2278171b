/**
 * The same command lines through kubectl and through knarr, each against an API server of its own that starts the same:
 * what they print and their exit codes must be equal, but for what differs from run to run (times, UIDs, versions).
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import test, { after, before } from "node:test";
import { core } from "@knarr/api/generated/resources.ts";
import { runCli } from "@knarr/cli/program.ts";
import { Client } from "@knarr/client/client.ts";
import { startApiserver, type TestApiserver } from "@knarr/testkit/start-apiserver.ts";
import { startEtcd, type TestEtcd } from "@knarr/testkit/start-etcd.ts";
import { type Case, cases, files } from "./golden-commands.ts";
import { newestKubectl } from "./newest-kubectl.ts";

interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}

const TIME = "2026-01-02T03:04:05Z";
let etcds: TestEtcd[] = [];
let servers: TestApiserver[] = [];
let folder = "";
let kubectl = "";

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "knarr-golden-"));
  // It calls itself by the name that it is run by.
  kubectl = join(folder, "kubectl");
  await symlink(await newestKubectl(), kubectl);
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  etcds = await Promise.all([startEtcd(), startEtcd()]);
  servers = await Promise.all(etcds.map((etcd) => startApiserver({ etcd })));
  // What the controller manager and a kubelet would have made.
  for (const server of servers) {
    const client = new Client(server.admin);
    await client.create(core.serviceaccounts, { metadata: { name: "default", namespace: "default" } });
    const node = await client.create(core.nodes, {
      metadata: { name: "node-1", labels: { "kubernetes.io/hostname": "node-1" } },
      spec: { podCIDR: "10.244.0.0/24" },
    });
    const quantities = { cpu: "4", memory: "8Gi", pods: "110", "ephemeral-storage": "100Gi" };
    const conditions = [
      {
        type: "Ready",
        status: "True",
        reason: "KubeletReady",
        message: "ready",
        lastHeartbeatTime: TIME,
        lastTransitionTime: TIME,
      },
    ];
    const addresses = [{ type: "InternalIP", address: "192.0.2.10" }];
    const status = { ...node.status, capacity: quantities, allocatable: quantities, conditions, addresses };
    await client.update(core.nodes, { ...node, status }, { subresource: "status" });
    client.close();
  }
});
after(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  await Promise.all(etcds.map((etcd) => etcd.stop()));
  await rm(folder, { recursive: true, force: true });
  assert.deepEqual(await readdir(folder).catch(() => []), []);
});

/** Words with quotes inside (`-p='{...}'`) are joined as a shell would. */
function shellWords(line: string): string[] {
  const found = line.match(/(?:[^\s'"]|'[^']*'|"[^"]*")+/g) ?? [];
  return found.map((word) => word.replace(/'([^']*)'|"([^"]*)"/g, (_, a?: string, b?: string) => a ?? b ?? ""));
}

function environment(server: TestApiserver): Record<string, string> {
  return { PATH: "/usr/bin:/bin:/nowhere", HOME: folder, KUBECONFIG: server.kubeconfig, KUBE_EDITOR: "true" };
}

function runKubectl({ line, stdin }: Case): Promise<Outcome> {
  return new Promise((resolve) => {
    const server = servers[0] as TestApiserver;
    const child = execFile(
      kubectl,
      shellWords(line),
      { cwd: folder, env: environment(server), timeout: 120_000 },
      (error, stdout, stderr) => {
        resolve({ stdout, stderr, code: typeof error?.code === "number" ? error.code : error === null ? 0 : 1 });
      },
    );
    child.stdin?.end(stdin ?? "");
  });
}

async function runKnarr({ line, stdin }: Case): Promise<Outcome> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const texts = { stdout: "", stderr: "" };
  stdout.on("data", (chunk) => {
    texts.stdout += String(chunk);
  });
  stderr.on("data", (chunk) => {
    texts.stderr += String(chunk);
  });
  const here = process.cwd();
  process.chdir(folder);
  try {
    const code = await runCli(shellWords(line), {
      stdout,
      stderr,
      stdin: Readable.from([stdin ?? ""]) as never,
      env: environment(servers[1] as TestApiserver),
      signal: AbortSignal.timeout(120_000),
    });
    return { ...texts, code };
  } finally {
    process.chdir(here);
  }
}

/** What differs from run to run becomes a word. */
function settle(text: string): string {
  const settled = text
    .replaceAll(folder, "FOLDER")
    .replaceAll("kubectl", "knarr")
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, "TIME")
    .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC/g, "TIME")
    .replace(/[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}/g, "TIME")
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "UID")
    .replace(/(resourceVersion["']?: *["']?)\d+/g, "$1VERSION")
    .replace(/https:\/\/127\.0\.0\.1:\d+/g, "SERVER")
    .replace(/(\s)\d+[smhd](\d+[sm])?(?=\s|$)/g, "$1AGE")
    .replace(/10\.(9\d|1[01]\d)\.\d+\.\d+/g, "CLUSTERIP")
    .replace(/(CLUSTERIP|CLUSTER-IP) +/g, "$1 ")
    .replace(/kube-api-access-\w{5}/g, "kube-api-access-XXXXX")
    .replace(/(TargetPort: +|192\.0\.2\.\d:|192\.\d+\.\d+\.\d+:)\d{4,5}/g, "$1PORT")
    .replace(/X509SHA256=[0-9a-f]+/g, "X509SHA256=HASH")
    .replace(/[^\s:]*\/knarr-apiserver-\w+/g, "SERVERFOLDER")
    .replace(/AGE +/g, "AGE ")
    .replace(/(:|port: |nodePort: |NodePort:.*)3[0-2]\d{3}/g, "$1NODEPORT");
  // Addresses of Services are drawn by lot and have not all the same length.
  return settled.includes("CLUSTERIP") ? settled.replace(/ {2,}/g, "  ") : settled;
}

for (const entry of cases) {
  test(entry.line, async () => {
    const expected = await runKubectl(entry);
    const found = await runKnarr(entry);
    const shape = ({ stdout, stderr, code }: Outcome) => ({ stdout: settle(stdout), stderr: settle(stderr), code });
    if (entry.differs === undefined) {
      assert.deepEqual(shape(found), shape(expected));
      return;
    }
    assert.equal(found.code, entry.code ?? expected.code, `${entry.differs}\n${found.stdout}${found.stderr}`);
    assert.notDeepEqual(shape(found), shape(expected), "it no longer differs: take the note away");
  });
}
