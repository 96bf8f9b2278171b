/**
 * Finds what is left of pods that no source knows: in the runtime, in folders, in cgroups. Looks every two seconds
 * whether pods came or went, and only then through the disks, or once a minute; touches nothing until every source was read, since "not read" and "not there" are not the same.
 */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { podRequests } from "@knarr/scheduling/pod-requests.ts";
import type { Cgroups } from "../adapters/cgroups.ts";
import type { Config } from "../config.ts";
import { Annotations, Labels } from "../core/observed-pod.ts";
import { qosClass } from "../core/qos.ts";
import { podDirectories, removePodDirectory } from "../volumes/remove-volumes.ts";
import { syncLogLinks } from "./log-links.ts";
import type { PodSet } from "./pod-set.ts";
import type { Relist, RuntimeSnapshot } from "./relist.ts";
import type { UserNamespaces } from "./user-namespaces.ts";

export interface HousekeepingOptions {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Logger;
  readonly pods: PodSet;
  readonly relist: Relist;
  readonly cgroups: Cgroups | undefined;
  readonly userNamespaces: UserNamespaces;
  readonly sourcesSynced: () => boolean;
}

const PERIOD_MS = 2000;
/** What is left over without any pod having come or gone (a folder that was made late) may stay so long. */
const QUIET_MS = 60_000;

/** A pod as far as the runtime knows it: enough to end it by. */
export function orphanPod(uid: string, snapshot: RuntimeSnapshot): Pod | undefined {
  const sandbox = snapshot.sandboxes.find((s) => s.labels[Labels.podUid] === uid);
  const container = snapshot.containers.find((c) => c.labels[Labels.podUid] === uid);
  const labels = sandbox?.labels ?? container?.labels;
  if (labels === undefined) return undefined;
  const grace = Number(container?.annotations[Annotations.podTerminationGracePeriod] ?? 30);
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { uid, name: labels[Labels.podName] ?? "", namespace: labels[Labels.podNamespace] ?? "" },
    spec: { containers: [], terminationGracePeriodSeconds: grace },
    status: { startTime: new Date(sandbox?.createdAt ?? 0).toISOString() },
  };
}

export async function runHousekeeping(options: HousekeepingOptions, signal: AbortSignal): Promise<void> {
  const { clock, log } = options;
  let lastListed = 0;
  let burstableMillis = -1;
  /** By which pods and containers the last round judged that found all in order, and when. */
  let orderly = { picture: "", at: Number.NEGATIVE_INFINITY };
  while (!signal.aborted) {
    await clock.sleep(PERIOD_MS, signal).catch(() => undefined);
    const snapshot = options.relist.snapshot;
    // Only what was listed after the sources were read can be judged by them.
    if (signal.aborted || !options.sourcesSynced() || snapshot === undefined || snapshot.at <= lastListed) continue;
    lastListed = snapshot.at;
    const picture = [snapshot.changes, ...options.pods.list().map((w) => w.uid)].join(" ");
    const isQuiet = orderly.picture === picture && clock.monotonicMs() - orderly.at < QUIET_MS;
    try {
      if (!isQuiet && (await cleanUp(options, snapshot))) orderly = { picture, at: clock.monotonicMs() };
      const millis = burstableRequests(options.pods);
      if (millis !== burstableMillis) await options.cgroups?.setBurstableShares(millis);
      burstableMillis = millis;
    } catch (error) {
      // Busy mounts and groups come free; the next round tries again.
      log.warn({ err: error }, "housekeeping incomplete");
    }
  }
}

/** What the burstable pods ask for together: their common share of the processors. */
function burstableRequests(pods: PodSet): number {
  const active = pods.list().filter((w) => w.holdsResources && qosClass(w.pod) === "Burstable");
  return active.reduce((sum, { allocatedPod }) => sum + (podRequests(allocatedPod).get("cpu") ?? 0), 0);
}

/** Returns whether all was in order already; what was taken away now, someone may be busy with still. */
async function cleanUp(options: HousekeepingOptions, snapshot: RuntimeSnapshot): Promise<boolean> {
  let orderly = true;
  const { config, cgroups, log, pods } = options;
  const inRuntime = new Set(
    [...snapshot.sandboxes, ...snapshot.containers].map((item) => item.labels[Labels.podUid] ?? ""),
  );
  inRuntime.delete("");
  for (const uid of inRuntime) {
    if (pods.get(uid) !== undefined || pods.wentSince(uid, snapshot.at)) continue;
    const pod = orphanPod(uid, snapshot);
    if (pod === undefined) continue;
    orderly = false;
    log.info({ pod: `${pod.metadata.namespace}/${pod.metadata.name}`, uid }, "ending an orphaned pod");
    pods.adoptOrphan(pod);
  }
  const known = (uid: string) => pods.get(uid) !== undefined || inRuntime.has(uid);
  for (const uid of await podDirectories(config.rootDir)) {
    if (known(uid)) continue;
    orderly = false;
    try {
      await removePodDirectory(config.rootDir, uid);
      await options.userNamespaces.release(uid);
    } catch (error) {
      // Busy, or data stands where a volume was: the other pods' folders go, this one is tried again.
      log.warn({ err: error, uid }, "the folder of a pod that is gone stays");
    }
  }
  for (const name of await readdir(config.podLogDir).catch(() => [] as string[])) {
    const uid = name.split("_").at(-1) ?? "";
    if (name.split("_").length !== 3 || known(uid)) continue;
    orderly = false;
    await rm(join(config.podLogDir, name), { recursive: true, force: true });
  }
  await syncLogLinks(snapshot.containers, config.podLogDir);
  if (cgroups === undefined) return orderly;
  for (const [uid, path] of await cgroups.podUids()) {
    if (known(uid)) continue;
    orderly = false;
    await cgroups.remove(path);
  }
  return orderly;
}
