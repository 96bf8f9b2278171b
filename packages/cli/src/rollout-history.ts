/** The revisions of Deployments (their ReplicaSets), StatefulSets and DaemonSets (their ControllerRevisions). */
import { apps } from "@knarr/api/generated/resources.ts";
import type {
  ControllerRevision,
  DaemonSet,
  Deployment,
  ReplicaSet,
  StatefulSet,
} from "@knarr/api/generated/types/apps-v1.ts";
import type { PodTemplateSpec } from "@knarr/api/generated/types/core-v1.ts";
import { formatLabelSelector } from "@knarr/apimachinery/label-selector.ts";
import { controllerOf } from "@knarr/apimachinery/object.ts";
import { patchLocally } from "./local-patch.ts";
import type { Connection } from "./verb.ts";

export type Workload = Deployment | StatefulSet | DaemonSet;

export interface Revision {
  readonly number: number;
  readonly changeCause: string | undefined;
  /** The pod template as it was. */
  readonly template: PodTemplateSpec;
  /** The patch that brings it back; undefined for Deployments, whose whole template is replaced. */
  readonly patch: object | undefined;
}

export const REVISION = "deployment.kubernetes.io/revision";
const CHANGE_CAUSE = "kubernetes.io/change-cause";

/** Oldest first. */
export async function revisionsOf(
  workload: Workload,
  { client }: Connection,
  signal: AbortSignal,
): Promise<Revision[]> {
  const namespace = workload.metadata.namespace ?? "";
  const labelSelector = formatLabelSelector(workload.spec?.selector);
  const owned = (object: ReplicaSet | ControllerRevision) => controllerOf(object)?.uid === workload.metadata.uid;
  const query = { namespace, labelSelector, signal };
  const revisions =
    workload.kind === "Deployment"
      ? (await client.list(apps.replicasets, query)).items.filter(owned).map(ofReplicaSet)
      : (await client.list(apps.controllerrevisions, query)).items.filter(owned).map((r) => ofRevision(workload, r));
  return revisions.sort((a, b) => a.number - b.number);
}

function ofReplicaSet(set: ReplicaSet): Revision {
  const template = structuredClone(set.spec?.template ?? {}) as PodTemplateSpec;
  const { "pod-template-hash": _hash, ...labels } = template.metadata?.labels ?? {};
  return {
    number: Number(set.metadata.annotations?.[REVISION] ?? "0"),
    changeCause: set.metadata.annotations?.[CHANGE_CAUSE],
    template: { ...template, metadata: { ...template.metadata, labels } },
    patch: undefined,
  };
}

function ofRevision(workload: Workload, revision: ControllerRevision): Revision {
  const patch = (revision.data ?? {}) as object;
  const restored = patchLocally(workload, "strategic", patch) as StatefulSet;
  return {
    number: Number(revision.revision),
    changeCause: revision.metadata.annotations?.[CHANGE_CAUSE],
    template: restored.spec?.template as PodTemplateSpec,
    patch,
  };
}
