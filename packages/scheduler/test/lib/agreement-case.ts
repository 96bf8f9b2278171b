/** The shorthands of the agreement table, expanded to API objects. */
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { quantityValue } from "@knarr/apimachinery/quantity.ts";
import { makeNode, type Objects } from "./test-cluster.ts";

type Labels = Record<string, string>;
type Spec = NonNullable<Pod["spec"]>;
/** Selector, topology key ("h" is the host name), and the rest of the term. */
type Term = [Labels, string, Record<string, unknown>?];
type Weighted = [number, Labels, string];

export interface CaseNode {
  readonly cpu?: string;
  readonly memory?: string;
  readonly pods?: string;
  readonly allocatable?: Labels;
  readonly labels?: Labels;
  readonly taints?: NonNullable<Node["spec"]>["taints"];
  readonly unschedulable?: boolean;
  readonly images?: Labels;
}
export interface CasePod {
  readonly on?: string | undefined;
  readonly ns?: string | undefined;
  readonly cpu?: string | undefined;
  readonly memory?: string | undefined;
  readonly requests?: Labels | undefined;
  readonly labels?: Labels | undefined;
  readonly priority?: number | undefined;
  readonly image?: string | undefined;
  readonly ports?: NonNullable<Spec["containers"][number]["ports"]> | undefined;
  readonly required?: object[][] | undefined;
  readonly requiredFields?: object[][] | undefined;
  readonly preferred?: [number, ...object[]][] | undefined;
  readonly affinity?: Term[] | undefined;
  readonly anti?: Term[] | undefined;
  readonly likes?: Weighted[] | undefined;
  readonly dislikes?: Weighted[] | undefined;
  readonly spread?: [number, string, Labels, "must" | "wish", Record<string, unknown>?][] | undefined;
  readonly claims?: string[] | undefined;
  readonly ephemeral?: string[] | undefined;
  readonly spec?: Partial<Spec> | undefined;
  readonly metadata?: Partial<Pod["metadata"]> | undefined;
  readonly status?: Pod["status"] | undefined;
}
interface CaseClaim {
  readonly class?: string;
  readonly volume?: string;
  readonly bound?: boolean;
  readonly phase?: string;
  readonly deleting?: boolean;
  readonly size?: string;
  readonly modes?: string[];
  readonly selected?: string;
  readonly owner?: string;
}
export interface AgreementCase {
  readonly name: string;
  readonly nodes: Record<string, CaseNode>;
  readonly pods?: CasePod[];
  readonly pod: CasePod;
  readonly profile?: Record<string, unknown>;
  readonly namespaces?: Record<string, Labels>;
  readonly services?: Record<string, Labels>;
  readonly pdb?: Record<string, [Labels, number]>;
  readonly pvc?: Record<string, CaseClaim>;
  readonly pv?: Record<string, { class?: string; size?: string; zone?: string; labels?: Labels; csi?: string }>;
  readonly sc?: Record<string, { wait?: boolean; provisioner?: string; topologies?: string[] }>;
  readonly csiNodes?: Record<string, Record<string, number>>;
  readonly driver?: string;
  readonly capacity?: [string, string, Labels][];
  readonly fits?: string[];
  readonly refused?: Record<string, string>;
  readonly absent?: string;
  readonly scores?: Record<string, Record<string, number>>;
  readonly unscored?: string[];
  readonly chosen?: string[];
  readonly evaluates?: number;
  readonly preFilter?: string;
  readonly message?: string;
  readonly victims?: Record<string, string[]>;
}

export function nodeOf(name: string, given: CaseNode): Node {
  const { cpu = "4", memory = "8Gi", pods = "110", allocatable = {}, labels = {}, taints, unschedulable } = given;
  const images = Object.entries(given.images ?? {}).map(([image, size]) => ({
    names: [image],
    sizeBytes: quantityValue(size),
  }));
  return makeNode(name, {
    metadata: { labels },
    spec: { taints, unschedulable },
    status: { allocatable: { cpu, memory, pods, ...allocatable }, images },
  });
}

export function podOf(name: string, given: CasePod): Pod {
  const { cpu, memory, requests = {}, ns = "default", labels = {}, priority, image = "none", ports } = given;
  const wanted = {
    ...(cpu === undefined ? {} : { cpu: String(cpu) }),
    ...(memory === undefined ? {} : { memory: String(memory) }),
    ...requests,
  };
  const volumes = [
    ...(given.claims ?? []).map((claimName) => ({ name: claimName, persistentVolumeClaim: { claimName } })),
    ...(given.ephemeral ?? []).map((volume) => ({ name: volume, ephemeral: { volumeClaimTemplate: { spec: {} } } })),
    ...(given.spec?.volumes ?? []),
  ];
  const constraints = given.spread?.map(([maxSkew, key, matchLabels, kind, more]) => ({
    maxSkew,
    topologyKey: keyOf(key),
    whenUnsatisfiable: kind === "must" ? "DoNotSchedule" : "ScheduleAnyway",
    labelSelector: { matchLabels },
    ...more,
  }));
  return {
    metadata: { name, namespace: ns, uid: `uid-${name}`, labels, ...given.metadata },
    spec: {
      containers: [
        { name: "c", image, resources: { requests: wanted }, ports: ports?.map((p) => ({ ...p, containerPort: 1 })) },
      ],
      ...(given.on === undefined ? {} : { nodeName: given.on }),
      ...(priority === undefined ? {} : { priority }),
      ...affinityOf(given),
      ...(constraints === undefined ? {} : { topologySpreadConstraints: constraints }),
      ...given.spec,
      volumes,
    },
    status: given.status,
  };
}

function affinityOf(given: CasePod): Partial<Spec> {
  const term = ([matchLabels, key, more]: Term) => ({
    labelSelector: { matchLabels },
    topologyKey: keyOf(key),
    ...more,
  });
  const weighted = ([weight, matchLabels, key]: Weighted) => ({ weight, podAffinityTerm: term([matchLabels, key]) });
  const required = [
    ...(given.required ?? []).map((matchExpressions) => ({ matchExpressions })),
    ...(given.requiredFields ?? []).map((matchFields) => ({ matchFields })),
  ];
  const preferred = given.preferred?.map(([weight, ...matchExpressions]) => ({
    weight,
    preference: { matchExpressions },
  }));
  const affinity = {
    nodeAffinity: {
      ...(required.length === 0
        ? {}
        : { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: required } }),
      preferredDuringSchedulingIgnoredDuringExecution: preferred,
    },
    podAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: given.affinity?.map(term),
      preferredDuringSchedulingIgnoredDuringExecution: given.likes?.map(weighted),
    },
    podAntiAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: given.anti?.map(term),
      preferredDuringSchedulingIgnoredDuringExecution: given.dislikes?.map(weighted),
    },
  };
  // The shapes are the API's, the values the table's.
  return { affinity: affinity as unknown as Spec["affinity"] };
}

function keyOf(key: string): string {
  return key === "h" ? "kubernetes.io/hostname" : key;
}

export function objectsOf(given: AgreementCase): Objects {
  const each = <T>(map: Record<string, T> | undefined, make: (name: string, value: T) => object) =>
    Object.entries(map ?? {}).map(([name, value]) => make(name, value) as KubeObject);
  const namespace = "default";
  return {
    namespaces: each(given.namespaces, (name, labels) => ({ metadata: { name, labels } })),
    services: each(given.services, (name, selector) => ({ metadata: { name, namespace }, spec: { selector } })),
    podDisruptionBudgets: each(given.pdb, (name, [matchLabels, disruptionsAllowed]) => ({
      metadata: { name, namespace },
      spec: { selector: { matchLabels } },
      status: { disruptionsAllowed },
    })),
    persistentVolumeClaims: each(given.pvc, claimOf),
    persistentVolumes: each(given.pv, (name, pv) => ({
      metadata: { name, labels: pv.labels },
      spec: {
        capacity: { storage: pv.size ?? "1Gi" },
        accessModes: ["ReadWriteOnce", "ReadWriteOncePod"],
        storageClassName: pv.class,
        csi: pv.csi === undefined ? undefined : { driver: pv.csi, volumeHandle: name },
        nodeAffinity:
          pv.zone === undefined
            ? undefined
            : {
                required: {
                  nodeSelectorTerms: [{ matchExpressions: [{ key: "zone", operator: "In", values: [pv.zone] }] }],
                },
              },
      },
      status: { phase: "Available" },
    })),
    storageClasses: each(given.sc, (name, sc) => ({
      metadata: { name },
      provisioner: sc.provisioner ?? "csi",
      volumeBindingMode: sc.wait === true ? "WaitForFirstConsumer" : "Immediate",
      allowedTopologies: sc.topologies && [{ matchLabelExpressions: [{ key: "zone", values: sc.topologies }] }],
    })),
    csiNodes: each(given.csiNodes, (name, drivers) => ({
      metadata: { name },
      spec: {
        drivers: Object.entries(drivers).map(([driver, count]) => ({
          name: driver,
          nodeID: name,
          allocatable: { count },
        })),
      },
    })),
    csiDrivers:
      given.driver === undefined
        ? []
        : [{ metadata: { name: given.driver }, spec: { storageCapacity: true } } as KubeObject],
    csiStorageCapacities: (given.capacity ?? []).map(
      ([storageClassName, capacity, matchLabels], i) =>
        ({ metadata: { name: `c${i}` }, storageClassName, capacity, nodeTopology: { matchLabels } }) as KubeObject,
    ),
  };
}

function claimOf(name: string, claim: CaseClaim): object {
  return {
    metadata: {
      name,
      namespace: "default",
      uid: `uid-${name}`,
      annotations: {
        ...(claim.bound === true ? { "pv.kubernetes.io/bind-completed": "yes" } : {}),
        ...(claim.selected === undefined ? {} : { "volume.kubernetes.io/selected-node": claim.selected }),
      },
      deletionTimestamp: claim.deleting === true ? "2026-01-01T00:00:00Z" : undefined,
      ownerReferences:
        claim.owner === undefined ? undefined : [{ kind: "Pod", name: "p", uid: claim.owner, controller: true }],
    },
    spec: {
      storageClassName: claim.class,
      volumeName: claim.volume,
      accessModes: claim.modes ?? ["ReadWriteOnce"],
      resources: { requests: { storage: claim.size ?? "1Gi" } },
    },
    status: { phase: claim.phase ?? (claim.bound === true ? "Bound" : "Pending") },
  };
}
