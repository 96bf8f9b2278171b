/**
 * A real API server for tests, as a child process over a real etcd: throw-away PKI, free port, everything removed at the
 * end.
 *
 * Example:
 *   const etcd = await startEtcd();
 *   const api = await startApiserver({ etcd });
 *   const client = new Client(api.admin);       // or: kubectl --kubeconfig api.kubeconfig
 *   ...
 *   await api.stop(); await etcd.stop();
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { RestConfig } from "@knarr/client/rest-config.ts";
import { ChildDaemon, freePort } from "./child-daemon.ts";
import type { TestEtcd } from "./start-etcd.ts";
import { TestPki } from "./test-pki.ts";

export interface ApiserverOptions {
  readonly etcd: Pick<TestEtcd, "endpoint">;
  /** Further flags, after the usual ones. */
  readonly args?: readonly string[];
  /** Default: Node,RBAC. */
  readonly authorizationMode?: string;
  /** What its endpoints name; default: the first address of this machine that is not loopback. In the certificate too. */
  readonly advertiseAddress?: string;
  readonly serviceClusterIpRange?: string;
}

export interface TestApiserver {
  /** "https://127.0.0.1:PORT" */
  readonly server: string;
  readonly port: number;
  /** Cluster administrator (kubernetes-admin of system:masters). */
  readonly admin: RestConfig;
  /** Path of the administrator's kubeconfig. */
  readonly kubeconfig: string;
  readonly pki: TestPki;
  /** Folder with PKI, kubeconfigs and audit log. */
  readonly dir: string;
  readonly pid: number;
  readonly output: string;
  /** A client config, and a kubeconfig file, for a user with a certificate of its own: CN and O's. */
  user(name: string, groups?: readonly string[]): Promise<RestConfig & { readonly kubeconfig: string }>;
  kill(): Promise<void>;
  /** SIGTERM; its exit code. */
  terminate(): Promise<number | null>;
  /** Starts it again on the same port after `kill` or to change nothing but the process. */
  restart(): Promise<void>;
  /** Stops it and removes its folder. */
  stop(): Promise<void>;
}

const MAIN = fileURLToPath(new URL("../../apiserver/src/main.ts", import.meta.url));

export async function startApiserver(options: ApiserverOptions): Promise<TestApiserver> {
  const dir = await mkdtemp(join(tmpdir(), "knarr-apiserver-"));
  const pki = await TestPki.create(join(dir, "pki"));
  const address = options.advertiseAddress ?? firstAddress();
  const range = options.serviceClusterIpRange ?? "10.96.0.0/12";
  await pki.issue("apiserver", {
    commonName: "kube-apiserver",
    dnsNames: [
      "localhost",
      "kubernetes",
      "kubernetes.default",
      "kubernetes.default.svc",
      "kubernetes.default.svc.cluster.local",
    ],
    ipAddresses: [...new Set(["127.0.0.1", address, "10.96.0.1"])],
  });
  await pki.issue("apiserver-kubelet-client", {
    commonName: "kube-apiserver-kubelet-client",
    organizations: ["kubeadm:cluster-admins", "system:masters"],
  });
  const admin = await pki.issue("admin", { commonName: "kubernetes-admin", organizations: ["system:masters"] });
  const port = await freePort();
  const server = `https://127.0.0.1:${port}`;
  const args = serverArgs(options, { pki, dir, port, address, range });
  const ca = await readFile(pki.path("ca.crt"));
  const start = () =>
    ChildDaemon.start({
      command: process.execPath,
      args: [MAIN, ...args],
      ready: () => isReady(port, { ca, cert: admin.cert, key: admin.key }),
    });
  let daemon = await start();
  const kubeconfig = await writeKubeconfig(join(dir, "admin.conf"), server, pki, "admin");
  return {
    server,
    port,
    admin: { server, ca, ...admin },
    kubeconfig,
    pki,
    dir,
    get pid() {
      return daemon.pid;
    },
    get output() {
      return daemon.output;
    },
    user: async (name, groups = []) => {
      const file = `user-${name.replace(/[^\w.-]/g, "_")}`;
      const pair = await pki.issue(file, { commonName: name, organizations: groups });
      return { server, ca, ...pair, kubeconfig: await writeKubeconfig(join(dir, `${file}.conf`), server, pki, file) };
    },
    kill: () => daemon.kill(),
    terminate: async () => {
      await daemon.stop(30_000);
      return await daemon.exited;
    },
    restart: async () => {
      await daemon.kill();
      daemon = await start();
    },
    stop: async () => {
      await daemon.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** From the documentation block when this machine has no address but loopback: endpoints may not be loopback. */
function firstAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find((address) => !address.internal && address.family === "IPv4")?.address ?? "192.0.2.1";
}

function serverArgs(
  options: ApiserverOptions,
  at: { pki: TestPki; dir: string; port: number; address: string; range: string },
): string[] {
  const { pki } = at;
  return [
    `--etcd-servers=${options.etcd.endpoint}`,
    `--secure-port=${at.port}`,
    "--bind-address=0.0.0.0",
    `--advertise-address=${at.address}`,
    `--tls-cert-file=${pki.path("apiserver.crt")}`,
    `--tls-private-key-file=${pki.path("apiserver.key")}`,
    `--client-ca-file=${pki.path("ca.crt")}`,
    `--kubelet-certificate-authority=${pki.path("ca.crt")}`,
    `--kubelet-client-certificate=${pki.path("apiserver-kubelet-client.crt")}`,
    `--kubelet-client-key=${pki.path("apiserver-kubelet-client.key")}`,
    "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
    `--service-account-key-file=${pki.path("sa.pub")}`,
    `--service-account-signing-key-file=${pki.path("sa.key")}`,
    `--service-cluster-ip-range=${at.range}`,
    `--authorization-mode=${options.authorizationMode ?? "Node,RBAC"}`,
    "--enable-admission-plugins=NodeRestriction",
    `--audit-log-path=${join(at.dir, "audit.log")}`,
    ...(options.args ?? []),
  ];
}

async function writeKubeconfig(path: string, server: string, pki: TestPki, user: string): Promise<string> {
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "test", cluster: { server, "certificate-authority": pki.path("ca.crt") } }],
    users: [
      { name: user, user: { "client-certificate": pki.path(`${user}.crt`), "client-key": pki.path(`${user}.key`) } },
    ],
    contexts: [{ name: "test", context: { cluster: "test", user } }],
    "current-context": "test",
  };
  await writeFile(path, JSON.stringify(config, null, 2), { mode: 0o600 });
  return path;
}

function isReady(port: number, tls: { ca: Buffer; cert: string; key: string }): Promise<boolean> {
  return new Promise((resolve) => {
    const outgoing = request(
      { host: "127.0.0.1", port, path: "/readyz", agent: false, timeout: 2000, ...tls },
      (response) => {
        response.resume();
        resolve(response.statusCode === 200);
      },
    );
    outgoing.once("error", () => resolve(false));
    outgoing.once("timeout", () => outgoing.destroy());
    outgoing.end();
  });
}
