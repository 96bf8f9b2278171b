/** A cluster of plain objects and the default profile (or another one) judging pods on it; for unit tests and tables. */
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import { checkConfigFile } from "../../src/config/config-file.ts";
import { buildFramework } from "../../src/config/profile.ts";
import { SchedulerCache } from "../../src/core/cache.ts";
import { type CycleResult, runCycle } from "../../src/core/cycle.ts";
import type { Framework } from "../../src/core/framework.ts";
import { type ListedKind, type Listers, listOf } from "../../src/core/listers.ts";
import { Nominations } from "../../src/core/nominations.ts";
import { podInfoOf } from "../../src/core/pod-info.ts";
import type { PluginHandle, PluginWrites } from "../../src/plugins/plugin-handle.ts";

export type Objects = Partial<Record<ListedKind, readonly KubeObject[]>>;

export const NO_WRITES: PluginWrites = {
  bind: async () => undefined,
  updateVolume: async (volume) => volume,
  updateClaim: async (claim) => claim,
};
const KINDS: readonly ListedKind[] = [
  "services",
  "replicationControllers",
  "replicaSets",
  "statefulSets",
  "namespaces",
  "persistentVolumeClaims",
  "persistentVolumes",
  "storageClasses",
  "csiNodes",
  "csiDrivers",
  "csiStorageCapacities",
  "volumeAttachments",
  "podDisruptionBudgets",
];

/** Listers over fixed objects; the kinds of the lists are the caller's word. */
export function listersOf(objects: Objects): Listers {
  return Object.fromEntries(KINDS.map((kind) => [kind, listOf(objects[kind] ?? [])])) as unknown as Listers;
}

export interface ClusterOptions {
  readonly nodes: readonly Node[];
  /** Bound by spec.nodeName. */
  readonly pods?: readonly Pod[];
  readonly objects?: Objects;
  /** One profile of a KubeSchedulerConfiguration. */
  readonly profile?: Record<string, unknown> | undefined;
  readonly random?: () => number;
  readonly writes?: PluginWrites;
}

export class TestCluster {
  readonly cache = new SchedulerCache();
  readonly nominations = new Nominations();
  readonly preempting = new Set<string>();
  readonly framework: Framework;
  readonly #random: () => number;

  constructor(options: ClusterOptions) {
    this.#random = options.random ?? (() => 0);
    const handle: PluginHandle = {
      listers: listersOf(options.objects ?? {}),
      writes: options.writes ?? NO_WRITES,
      nominations: this.nominations,
      clock: systemClock,
      random: this.#random,
      isPreempting: (id) => this.preempting.has(id),
    };
    this.framework = frameworkOf(options.profile, handle);
    for (const node of options.nodes) this.cache.setNode(node);
    for (const pod of options.pods ?? []) this.cache.setPod(pod);
  }

  judge(pod: Pod, percentageOfNodesToScore = 100): CycleResult {
    return runCycle(this.framework, podInfoOf(pod), this.cache.snapshot(), {
      random: this.#random,
      startIndex: 0,
      percentageOfNodesToScore,
      nominations: this.nominations,
    });
  }
}

export function frameworkOf(profile: Record<string, unknown> | undefined, handle: PluginHandle): Framework {
  const content = {
    apiVersion: "kubescheduler.config.k8s.io/v1",
    kind: "KubeSchedulerConfiguration",
    ...(profile === undefined ? {} : { profiles: [profile] }),
  };
  const [first] = checkConfigFile(content, "test").profiles;
  if (first === undefined) throw new Error("a profile is missing");
  return buildFramework(first, handle);
}

export function makeNode(name: string, more: Partial<Node> = {}): Node {
  return {
    ...more,
    metadata: {
      name,
      ...more.metadata,
      labels: { "kubernetes.io/hostname": name, ...more.metadata?.labels },
    },
    status: { allocatable: { cpu: "4", memory: "8Gi", pods: "110" }, ...more.status },
  };
}

export function makePod(
  name: string,
  spec: Partial<NonNullable<Pod["spec"]>> = {},
  metadata: Partial<Pod["metadata"]> = {},
): Pod {
  return {
    metadata: { name, namespace: "default", uid: `uid-${name}`, ...metadata },
    spec: { containers: [{ name: "c", resources: { requests: { cpu: "100m" } } }], ...spec },
  };
}
