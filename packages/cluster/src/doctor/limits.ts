/** Judgements over numbers read from the machine. Pure, so that each threshold has its test. */
import { type Finding, failure, ok, warning } from "./check.ts";

/** Each kubelet, containerd and many applications hold an instance; kind's documentation asks for these too. */
const LEAST_INSTANCES = 512;
const LEAST_WATCHES = 65_536;

export function judgeInotify(instances: number, watches: number): Finding {
  const subject = "inotify limits";
  const found = `max_user_instances ${instances}, max_user_watches ${watches}`;
  if (instances >= LEAST_INSTANCES && watches >= LEAST_WATCHES) return ok(subject, found);
  return warning(subject, found, {
    cause: 'pods and logs -f fail with "too many open files" once a few dozen programs watch files',
    fix: `sysctl -w fs.inotify.max_user_instances=${Math.max(instances, LEAST_INSTANCES)} fs.inotify.max_user_watches=${Math.max(watches, 524_288)}`,
  });
}

/** etcd wants the 99th percentile of its write-ahead log's syncs below 10 ms. Source: etcd.io/docs/v3.5/faq */
const SLOW_SYNC_MS = 10;
const HOPELESS_SYNC_MS = 500;

/** `syncsMs`: how long each of a series of small synced writes took. */
export function judgeSyncs(syncsMs: readonly number[], folder: string): Finding {
  const subject = "disk sync latency";
  const sorted = [...syncsMs].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  const found = `p50 ${at(0.5).toFixed(1)} ms, p99 ${at(0.99).toFixed(1)} ms in ${folder}`;
  if (at(0.99) <= SLOW_SYNC_MS) return ok(subject, found);
  const advice = {
    cause: "every write to the cluster waits for the disk; above 500 ms etcd loses its lease and components restart",
    fix: "put the cluster on a faster disk: knarr up --data-dir /path/on/an/ssd",
  };
  return at(0.5) > HOPELESS_SYNC_MS ? failure(subject, found, advice) : warning(subject, found, advice);
}

const GIB = 2 ** 30;

export function judgeSpace(freeBytes: number, totalBytes: number, folder: string): Finding {
  const subject = "disk space";
  const share = totalBytes === 0 ? 0 : freeBytes / totalBytes;
  const found = `${(freeBytes / GIB).toFixed(1)} GiB (${Math.round(share * 100)} %) free in ${folder}`;
  const fix = `free space, or move the cluster: knarr up --data-dir /path/on/another/disk`;
  if (freeBytes < GIB) return failure(subject, found, { cause: "etcd and images need at least 1 GiB", fix });
  // The kubelet's default: nodefs.available<10% evicts pods.
  if (share < 0.1)
    return warning(subject, found, { cause: "below 10 % nodes report DiskPressure and evict pods", fix });
  return ok(subject, found);
}

export function judgeInodes(free: number, total: number, folder: string): Finding {
  const subject = "inodes";
  const found = total === 0 ? `not counted in ${folder}` : `${Math.round((free / total) * 100)} % free in ${folder}`;
  if (total === 0 || free / total >= 0.05) return ok(subject, found);
  const cause = "below 5 % nodes report DiskPressure and evict pods";
  return warning(subject, found, { cause, fix: "remove small files, or move the cluster: knarr up --data-dir PATH" });
}

/** Bytes that a cluster of two nodes takes before the first application. */
const LEAST_MEMORY = 1.5 * GIB;

export function judgeMemory(availableBytes: number): Finding {
  const found = `${(availableBytes / GIB).toFixed(1)} GiB available`;
  if (availableBytes >= LEAST_MEMORY) return ok("memory", found);
  return warning("memory", found, {
    cause: "a cluster of two nodes takes about 1.2 GiB before the first application; the kernel may kill parts of it",
    fix: "end other programs, or start with fewer nodes: knarr up --nodes 1",
  });
}

/** How far the API server's clock is from ours. */
export function judgeSkew(skewMs: number): Finding {
  const found = `${(Math.abs(skewMs) / 1000).toFixed(1)} s from the API server's clock`;
  if (Math.abs(skewMs) < 5000) return ok("clock", found);
  const cause = "tokens and certificates count as not yet valid or as expired, leases as lost";
  return failure("clock", found, { cause, fix: "set the clock: chronyc makestep, or timedatectl set-ntp true" });
}

export function judgeCertificate(name: string, daysLeft: number): Finding[] {
  if (daysLeft >= 30) return [];
  const subject = "certificates";
  const fix = '"knarr up" renews certificates with less than 30 days left';
  const cause = "components no longer trust each other once it has expired";
  if (daysLeft < 0) return [failure(subject, `${name} expired ${Math.ceil(-daysLeft)} days ago`, { cause, fix })];
  return [warning(subject, `${name} expires in ${Math.floor(daysLeft)} days`, { cause, fix })];
}

/** Names by bit. Source: include/uapi/linux/capability.h; those that a node's daemons use. */
const CAPABILITIES: readonly (readonly [bit: number, name: string, use: string, needed: boolean])[] = [
  [0, "CAP_CHOWN", "volumes are owned by pods' groups", true],
  [1, "CAP_DAC_OVERRIDE", "files of pods are managed", true],
  [5, "CAP_KILL", "processes of pods are ended", true],
  [12, "CAP_NET_ADMIN", "links, routes and packet rules are made", true],
  [13, "CAP_NET_RAW", "packet rules match protocols", true],
  [18, "CAP_SYS_CHROOT", "containers get their root", true],
  [21, "CAP_SYS_ADMIN", "namespaces and mounts are made", true],
  [24, "CAP_SYS_RESOURCE", "privileged pods get all capabilities, OOM scores are lowered", false],
];

/** `effective`: the mask of /proc/self/status's CapEff. */
export function judgeCapabilities(effective: bigint): Finding {
  const subject = "privileges";
  const missing = CAPABILITIES.filter(([bit]) => ((effective >> BigInt(bit)) & 1n) === 0n);
  if (missing.length === 0) return ok(subject, "all capabilities that nodes use");
  const found = `without ${missing.map(([, name]) => name).join(", ")}`;
  const cause = `not possible: ${missing.map(([, , use]) => use).join("; ")}`;
  const fix = "run as root on the machine itself (sudo knarr ...), or in a container with --privileged";
  return missing.some(([, , , needed]) => needed)
    ? failure(subject, found, { cause, fix })
    : warning(subject, found, { cause, fix });
}
