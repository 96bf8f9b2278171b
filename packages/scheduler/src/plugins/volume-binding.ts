/**
 * VolumeBinding: a pod goes where its volumes are, can be had, or can be made; and waits until its claims are bound.
 *
 *   PreFilter  claims bound | to bind (class waits for a consumer) | unbound although it should be: refused
 *   Filter     per node: bound volumes in reach; for claims to bind a volume in reach, or a class that can make one there
 *   Reserve    the node's choice is assumed, so that no other pod takes the same volume
 *   PreBind    volumes are bound to the claims, or the claims told the node ("selected-node"); then waits for the binder
 * Source: plugins/volumebinding, kubernetes.io/docs/concepts/storage/storage-classes#volume-binding-mode, KEP-1472 (capacity)
 */
import type { Node, PersistentVolume, PersistentVolumeClaim } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString } from "@knarr/apimachinery/resource.ts";
import {
  bindVolumeToClaim,
  claimClass,
  findMatchingVolume,
  isClaimFullyBound,
  isDelayedBinding,
  isVolumeBoundToClaim,
  NO_PROVISIONER,
  SELECTED_NODE,
  volumeMatchesNode,
} from "@knarr/scheduling/volumes/claim-matching.ts";
import { failure, type Plugin, type PluginStatus, skip, unresolvable } from "../core/framework.ts";
import type { PluginFactory, PluginHandle } from "./plugin-handle.ts";
import { AssumedObjects, claimsOf } from "./volume-lookup.ts";
import { canProvision } from "./volume-provisioning.ts";

const name = "VolumeBinding";
const NO_VOLUME = "node(s) didn't find available persistent volumes to bind";
const OUT_OF_REACH = "node(s) didn't match PersistentVolume's node affinity";
const NO_SPACE = "node(s) did not have enough free storage";
const VOLUME_GONE = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";
const POLL_MS = 100;

interface Binding {
  readonly volume: PersistentVolume;
  readonly claim: PersistentVolumeClaim;
}
/** What must be done before the pod can be bound to the node. */
interface NodeVolumes {
  readonly bindings: readonly Binding[];
  readonly provisions: readonly PersistentVolumeClaim[];
}
interface State {
  readonly bound: readonly PersistentVolumeClaim[];
  readonly toBind: readonly PersistentVolumeClaim[];
  readonly byNode: Map<string, NodeVolumes>;
  reserved: NodeVolumes | undefined;
}

export const volumeBinding: PluginFactory = (args, handle): Plugin => {
  const { listers } = handle;
  const volumes = new AssumedObjects(listers.persistentVolumes);
  const claims = new AssumedObjects(listers.persistentVolumeClaims);
  const timeoutMs = (args.bindTimeoutSeconds as number) * 1000;
  return {
    name,
    events: [
      "Node/Add",
      "Node/Update",
      "TargetPod/Update",
      "PersistentVolumeClaim/Add",
      "PersistentVolumeClaim/Update",
      "PersistentVolume/Add",
      "PersistentVolume/Update",
      "StorageClass/Add",
      "StorageClass/Update",
      "CSINode/Add",
      "CSINode/Update",
      "CSIDriver/Update",
      "CSIStorageCapacity/Add",
      "CSIStorageCapacity/Update",
    ],
    preFilter(state, pod) {
      if (pod.claims.length === 0) return { status: skip(name) };
      const bound: PersistentVolumeClaim[] = [];
      const toBind: PersistentVolumeClaim[] = [];
      let immediate = false;
      for (const { claim, refusal } of claimsOf(pod.pod, { get: (n, m) => claims.get(n, m), list: () => [] }).map(
        both,
      )) {
        if (claim === undefined) return { status: unresolvable(name, refusal ?? "") };
        const delayed = isDelayedBinding(listers.storageClasses.get("", claimClass(claim)));
        if (isClaimFullyBound(claim)) bound.push(claim);
        // A claim that names its volume is bound by the binder, whatever its class.
        else if (delayed && (claim.spec?.volumeName ?? "") === "") toBind.push(claim);
        else immediate = true;
      }
      if (immediate) return { status: unresolvable(name, "pod has unbound immediate PersistentVolumeClaims") };
      state.write(name, { bound, toBind, byNode: new Map(), reserved: undefined } satisfies State);
      return undefined;
    },
    filter(state, _pod, { node }) {
      if (node === undefined) return unresolvable(name, NO_VOLUME);
      const known = state.read<State>(name);
      const found = findVolumes(known, node, { handle, volumes });
      if (Array.isArray(found)) return unresolvable(name, ...found);
      known.byNode.set(node.metadata.name ?? "", found);
      return undefined;
    },
    reserve(state, _pod, nodeName) {
      const known = state.find<State>(name);
      if (known === undefined) return undefined;
      const chosen = known.byNode.get(nodeName) ?? { bindings: [], provisions: [] };
      const bindings = chosen.bindings.map(({ volume, claim }) => ({
        volume: bindVolumeToClaim(volume, claim),
        claim,
      }));
      const provisions = chosen.provisions.map((claim) => withSelectedNode(claim, nodeName));
      for (const { volume } of bindings) volumes.assume(volume);
      for (const claim of provisions) claims.assume(claim);
      known.reserved = { bindings, provisions };
      return undefined;
    },
    unreserve(state) {
      const known = state.find<State>(name);
      for (const { volume } of known?.reserved?.bindings ?? []) volumes.restore(volume);
      for (const claim of known?.reserved?.provisions ?? []) claims.restore(claim);
    },
    needsPreBind(state) {
      const reserved = state.find<State>(name)?.reserved;
      return reserved !== undefined && reserved.bindings.length + reserved.provisions.length > 0;
    },
    async preBind(state, _pod, nodeName, signal) {
      const reserved = state.find<State>(name)?.reserved;
      if (reserved === undefined || reserved.bindings.length + reserved.provisions.length === 0) return undefined;
      try {
        for (const { volume } of reserved.bindings) await handle.writes.updateVolume(volume, signal);
        for (const claim of reserved.provisions) await handle.writes.updateClaim(claim, signal);
        return await waitForClaims(reserved, nodeName, { handle, timeoutMs, signal });
      } catch (error) {
        return failure(name, error);
      }
    },
    worthRetry: (pod, event) => concerns(pod.pod.metadata.namespace ?? "", pod.claims, event),
  };
};

function both(found: ReturnType<typeof claimsOf>[number]): { claim?: PersistentVolumeClaim; refusal?: string } {
  return found.refusal === undefined ? { claim: found.claim } : { refusal: found.refusal };
}

function concerns(
  namespace: string,
  claims: readonly string[],
  event: Parameters<NonNullable<Plugin["worthRetry"]>>[1],
): boolean {
  if (event.resource !== "PersistentVolumeClaim") return true;
  const { metadata } = event.object;
  return metadata.namespace === namespace && claims.includes(metadata.name ?? "");
}

/** What to do on `node`, or the reasons why the pod can't run there. */
function findVolumes(
  { bound, toBind }: State,
  node: Node,
  use: { readonly handle: PluginHandle; readonly volumes: AssumedObjects<PersistentVolume> },
): NodeVolumes | string[] {
  const reasons = new Set<string>();
  for (const claim of bound) {
    const volume = use.volumes.get("", claim.spec?.volumeName ?? "");
    if (volume === undefined) reasons.add(VOLUME_GONE);
    else if (!volumeMatchesNode(volume, node)) reasons.add(OUT_OF_REACH);
  }
  const bindings: Binding[] = [];
  const provisions: PersistentVolumeClaim[] = [];
  const excluded = new Set<string>();
  const candidates = toBind.length === 0 ? [] : use.volumes.list();
  for (const claim of [...toBind].sort(byRequestedSize)) {
    const selected = claim.metadata.annotations?.[SELECTED_NODE];
    if (selected !== undefined && selected !== node.metadata.name) {
      reasons.add(NO_VOLUME);
      continue;
    }
    const volume = selected === undefined ? findMatchingVolume(claim, candidates, { node, excluded }) : undefined;
    if (volume !== undefined) {
      excluded.add(volume.metadata.name ?? "");
      bindings.push({ volume, claim });
      continue;
    }
    const storageClass = use.handle.listers.storageClasses.get("", claimClass(claim));
    if (storageClass === undefined || storageClass.provisioner === NO_PROVISIONER) reasons.add(NO_VOLUME);
    else {
      const verdict = canProvision(claim, { storageClass, node, listers: use.handle.listers });
      if (verdict === "ok") provisions.push(claim);
      else reasons.add(verdict === "topology" ? NO_VOLUME : NO_SPACE);
    }
  }
  return reasons.size > 0 ? [...reasons].sort() : { bindings, provisions };
}

function byRequestedSize(a: PersistentVolumeClaim, b: PersistentVolumeClaim): number {
  const size = (claim: PersistentVolumeClaim) => claim.spec?.resources?.requests?.storage ?? "0";
  return size(a).length - size(b).length || (size(a) < size(b) ? -1 : 1);
}

function withSelectedNode(claim: PersistentVolumeClaim, nodeName: string): PersistentVolumeClaim {
  const annotations = { ...claim.metadata.annotations, [SELECTED_NODE]: nodeName };
  return { ...claim, metadata: { ...claim.metadata, annotations } };
}

/** Waits until the binder has bound every claim; refuses when someone undid what we did. */
async function waitForClaims(
  reserved: NodeVolumes,
  nodeName: string,
  use: { readonly handle: PluginHandle; readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<PluginStatus | undefined> {
  const { clock, listers } = use.handle;
  const untilMs = clock.monotonicMs() + use.timeoutMs;
  const all = [...reserved.bindings.map(({ claim }) => claim), ...reserved.provisions];
  for (;;) {
    let pending = 0;
    for (const { metadata } of all) {
      const key = { namespace: metadata.namespace ?? "", name: metadata.name ?? "" };
      const claim = listers.persistentVolumeClaims.get(key.namespace, key.name);
      if (claim === undefined || claim.metadata.deletionTimestamp !== undefined) {
        return failure(name, `persistentvolumeclaim "${keyString(key)}" was deleted while it was being bound`);
      }
      if (isClaimFullyBound(claim)) continue;
      pending++;
    }
    if (pending === 0) return undefined;
    const undone = undoneBy(reserved, nodeName, use.handle);
    if (undone !== undefined) return failure(name, undone);
    if (clock.monotonicMs() >= untilMs) return failure(name, `binding volumes: timed out waiting for the condition`);
    await clock.sleep(POLL_MS, use.signal);
  }
}

/** What somebody else changed so that waiting is in vain. An informer that is behind shows neither. */
function undoneBy(reserved: NodeVolumes, nodeName: string, { listers }: PluginHandle): string | undefined {
  for (const { volume, claim } of reserved.bindings) {
    const now = listers.persistentVolumes.get("", volume.metadata.name ?? "");
    if (now === undefined) return `persistentvolume "${volume.metadata.name}" was deleted while it was being bound`;
    if (now.spec?.claimRef !== undefined && !isVolumeBoundToClaim(now, claim)) {
      return `persistentvolume "${volume.metadata.name}" was bound to another claim`;
    }
  }
  for (const claim of reserved.provisions) {
    const { namespace, name: claimName } = keyOf(claim);
    const now = listers.persistentVolumeClaims.get(namespace, claimName);
    const selected = now?.metadata.annotations?.[SELECTED_NODE];
    const isNewer = now !== undefined && now.metadata.resourceVersion !== claim.metadata.resourceVersion;
    if (isNewer && selected !== nodeName) return `selectedNode annotation reset for PVC "${claimName}"`;
  }
  return undefined;
}
