/**
 * A real etcd of one member for tests: its own temporary folder and free ports, durable enough for restarts in a test
 * (fsync off: a test's data need not survive the machine).
 */
import { access, mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { ChildDaemon, freePort } from "./child-daemon.ts";

export interface TestEtcd {
  /** "http://127.0.0.1:PORT" */
  readonly endpoint: string;
  readonly dataDir: string;
  readonly pid: number;
  /** Kills it without warning; `restart` brings it back on the same data and port. */
  kill(): Promise<void>;
  restart(): Promise<void>;
  /** Freezes (SIGSTOP) and thaws the process. */
  signal(name: "SIGSTOP" | "SIGCONT"): void;
  /** Ends it and removes its data. Idempotent. */
  stop(): Promise<void>;
}

/** The etcd binary: $KNARR_ETCD, the installed places, then PATH. Throws when there is none. */
export async function findEtcd(env: NodeJS.ProcessEnv = process.env): Promise<string> {
  const candidates = [
    ...(env.KNARR_ETCD === undefined ? [] : [env.KNARR_ETCD]),
    join(env.KNARR_DATA_DIR ?? "/var/lib/knarr", "bin", "etcd"),
    "/usr/local/lib/knarr/bin/etcd",
    ...(env.PATH ?? "").split(delimiter).map((dir) => join(dir, "etcd")),
  ];
  for (const path of candidates) {
    try {
      await access(path, 1);
      return path;
    } catch {
      // Not there: the next candidate.
    }
  }
  throw new Error(`no etcd binary; looked at ${candidates.join(", ")} (run scripts/test, or set KNARR_ETCD)`);
}

export interface EtcdStartOptions {
  readonly args?: readonly string[];
  /** Sync the log to the disk, as etcd does outside of tests; default false. */
  readonly fsync?: boolean;
  /** Paths; clients then need a certificate of `clientCa`. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa: string };
}

export async function startEtcd(options: EtcdStartOptions = {}): Promise<TestEtcd> {
  const command = await findEtcd();
  const dataDir = await mkdtemp(join(tmpdir(), "knarr-etcd-"));
  const [clientPort, peerPort, healthPort] = [await freePort(), await freePort(), await freePort()];
  const { tls } = options;
  const endpoint = `${tls === undefined ? "http" : "https"}://127.0.0.1:${clientPort}`;
  const start = () =>
    ChildDaemon.start({
      command,
      args: [
        "--name=test",
        `--data-dir=${dataDir}/data`,
        `--listen-client-urls=${endpoint}`,
        `--advertise-client-urls=${endpoint}`,
        `--listen-peer-urls=http://127.0.0.1:${peerPort}`,
        `--initial-advertise-peer-urls=http://127.0.0.1:${peerPort}`,
        `--initial-cluster=test=http://127.0.0.1:${peerPort}`,
        ...(options.fsync === true ? [] : ["--unsafe-no-fsync"]),
        "--log-level=warn",
        // /health without a client certificate.
        `--listen-metrics-urls=http://127.0.0.1:${healthPort}`,
        ...(tls === undefined ? [] : tlsArgs(tls)),
        ...(options.args ?? []),
      ],
      ready: () => answersHealth(healthPort),
    });
  let daemon = await start();
  return {
    endpoint,
    dataDir,
    get pid() {
      return daemon.pid;
    },
    kill: () => daemon.kill(),
    restart: async () => {
      await daemon.kill();
      daemon = await start();
    },
    signal: (name) => daemon.signal(name),
    stop: async () => {
      daemon.signal("SIGCONT");
      await daemon.kill();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

function tlsArgs(tls: NonNullable<EtcdStartOptions["tls"]>): string[] {
  return [
    "--client-cert-auth",
    `--cert-file=${tls.cert}`,
    `--key-file=${tls.key}`,
    `--trusted-ca-file=${tls.clientCa}`,
  ];
}

function answersHealth(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const outgoing = request({ host: "127.0.0.1", port, path: "/health", timeout: 1000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    outgoing.once("error", () => resolve(false));
    outgoing.once("timeout", () => outgoing.destroy());
    outgoing.end();
  });
}
