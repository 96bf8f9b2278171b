/**
 * VolumeAttachments of CSI volumes for the pods of a node, which CSI attachers carry out, and the list of attached
 * volumes in the node's status, which the kubelet waits for.
 * Inputs: Nodes, Pods, claims, volumes, CSIDrivers, VolumeAttachments. Writes: VolumeAttachments, Nodes' status, Events.
 */
import { createHash } from "node:crypto";
import { core, storage } from "@knarr/api/generated/resources.ts";
import type { PersistentVolume, PersistentVolumeClaim, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { VolumeAttachment } from "@knarr/api/generated/types/storage-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString } from "@knarr/apimachinery/resource.ts";
import { isAlreadyExists, isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { EventRecorder } from "@knarr/client/event-recorder.ts";
import { after, done, type Result } from "@knarr/controller/reconcile-loop.ts";
import type { WorkQueue } from "@knarr/controller/work-queue.ts";
import { isClaimFullyBound } from "@knarr/scheduling/volumes/claim-matching.ts";
import {
  type Controller,
  type ControllerContext,
  makeQueue,
  makeRecorder,
  needs,
  runLoop,
} from "../controller-context.ts";
import {
  type AttachPlan,
  isNodeHealthy,
  planAttachments,
  volumeNameOf,
  type WantedAttachment,
} from "../core/attach-detach-plan.ts";
import { BY_CLAIM, claimsOfPod } from "./pods-by-claim.ts";
import { podNodeIndexer, podsOnNode } from "./pods-on-node.ts";

const BY_VOLUME = "volume";
const BY_ATTACHED_NODE = "attachedNode";
/** How long a kubelet that doesn't answer may keep a volume. Source: maxWaitForUnmountDuration */
const MAX_UNMOUNT_MS = 6 * 60_000;
const RETRY_MS = 5000;

export const attachDetachController: Controller = {
  name: "persistentvolume-attach-detach-controller",
  aliases: ["attachdetach"],
  serviceAccount: "attachdetach-controller",
  start: async (context) => {
    const attacher = new Attacher(context);
    return (signal) => attacher.run(signal);
  },
};

class Attacher {
  readonly #context: ControllerContext;
  readonly #events: EventRecorder;
  readonly #queue: WorkQueue;
  readonly #sources;
  /** Attachment -> since when its volume should be detached but is mounted. */
  readonly #unwantedSince = new Map<string, number>();
  /** Attachment -> time of the error that was told as an event. */
  readonly #told = new Map<string, string>();

  constructor(context: ControllerContext) {
    this.#context = context;
    const { informers } = context;
    this.#queue = makeQueue(context);
    this.#events = makeRecorder(context, "attachdetach-controller");
    this.#sources = {
      nodes: informers.informer(core.nodes),
      pods: informers.informer(core.pods, { indexers: { [BY_CLAIM]: claimsOfPod, ...podNodeIndexer } }),
      claims: informers.informer(core.persistentvolumeclaims),
      volumes: informers.informer(core.persistentvolumes),
      drivers: informers.informer(storage.csidrivers),
      attachments: informers.informer(storage.volumeattachments, {
        indexers: {
          [BY_VOLUME]: (attachment) => [volumeNameOf(attachment)],
          [BY_ATTACHED_NODE]: ({ spec }) => [spec.nodeName],
        },
      }),
    };
    this.#subscribe();
  }

  run(signal: AbortSignal): Promise<void> {
    const { nodes, pods, claims, volumes, drivers, attachments } = this.#sources;
    return runLoop(
      this.#context,
      {
        queue: this.#queue,
        workers: 4,
        needs: needs(nodes, pods, claims, volumes, drivers, attachments),
        reconcile: (key, stop) => this.#reconcile(key, stop),
      },
      signal,
    );
  }

  #subscribe(): void {
    const { nodes, pods, claims, attachments } = this.#sources;
    const node = ({ metadata }: { metadata: { name?: string | undefined } }) => this.#queue.add(metadata.name ?? "");
    nodes.subscribe({
      added: node,
      updated: (old, now) => {
        const view = ({ metadata, spec, status }: typeof now) =>
          JSON.stringify([metadata.annotations, spec?.taints, status?.volumesInUse, status?.volumesAttached]);
        if (view(old) !== view(now)) node(now);
      },
      deleted: node,
    });
    const pod = (object: Pod) => {
      const name = object.spec?.nodeName ?? "";
      if (name !== "" && claimsOfPod(object).length > 0) this.#queue.add(name);
    };
    pods.subscribe({ added: pod, updated: (_old, now) => pod(now), deleted: pod });
    const claim = (object: PersistentVolumeClaim) => {
      for (const user of pods.byIndex(BY_CLAIM, keyString(keyOf(object)))) pod(user);
    };
    claims.subscribe({ added: claim, updated: (_old, now) => claim(now) });
    const attachment = (object: VolumeAttachment) => this.#queue.add(object.spec.nodeName);
    attachments.subscribe({
      added: attachment,
      updated: (_old, now) => attachment(now),
      deleted: (object) => {
        attachment(object);
        this.#told.delete(object.metadata.name ?? "");
        this.#unwantedSince.delete(object.metadata.name ?? "");
        // Another node may have waited for it.
        const volume = this.#sources.volumes.get({ namespace: "", name: volumeNameOf(object) });
        for (const user of this.#usersOf(volume)) pod(user);
      },
    });
  }

  async #reconcile(nodeName: string, signal: AbortSignal): Promise<Result> {
    const { nodes, pods, drivers, attachments, volumes } = this.#sources;
    const node = nodes.get({ namespace: "", name: nodeName });
    const now = this.#context.clock.monotonicMs();
    const plan = planAttachments({
      nodeName,
      node,
      pods: podsOnNode(pods, nodeName),
      volumesOf: (pod) => this.#volumesOf(pod),
      driver: (name) => drivers.get({ namespace: "", name }),
      attachments: attachments.byIndex(BY_ATTACHED_NODE, nodeName),
      elsewhere: (volume) =>
        attachments.byIndex(BY_VOLUME, volume.metadata.name ?? "").filter(({ spec }) => spec.nodeName !== nodeName),
      usersElsewhere: (volume) => this.#usersOf(volume).filter(({ spec }) => (spec?.nodeName ?? "") !== nodeName),
      volume: (name) => volumes.get({ namespace: "", name }),
      isOverdue: ({ metadata }) => {
        if (this.#context.config.disableForceDetachOnTimeout) return false;
        const since = this.#unwantedSince.get(metadata.name ?? "") ?? now;
        return node !== undefined && !isNodeHealthy(node) && now - since >= MAX_UNMOUNT_MS;
      },
    });
    for (const want of plan.blocked) this.#tell(want, "Warning", "FailedAttachVolume", want.message);
    this.#tellErrors(nodeName);
    await this.#carryOut(nodeName, plan, signal);
    for (const { metadata } of plan.mounted) {
      const name = metadata.name ?? "";
      if (!this.#unwantedSince.has(name)) this.#unwantedSince.set(name, now);
    }
    return plan.blocked.length + plan.mounted.length > 0 ? after(RETRY_MS) : done;
  }

  async #carryOut(nodeName: string, plan: AttachPlan, signal: AbortSignal): Promise<void> {
    const { client } = this.#context;
    // First the node must no longer count on a volume, then it may go.
    if (plan.volumesAttached !== undefined) {
      const body = { status: { volumesAttached: plan.volumesAttached } };
      const key = { namespace: "", name: nodeName };
      await client.patch(core.nodes, key, { type: "merge", body }, { subresource: "status", signal });
      this.#tellAttached(
        nodeName,
        plan.volumesAttached.map(({ name }) => name),
      );
    }
    for (const attachment of plan.detach) {
      try {
        const preconditions = { uid: attachment.metadata.uid };
        await client.delete(storage.volumeattachments, keyOf(attachment), { preconditions, signal });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    for (const { volume } of plan.attach) {
      try {
        await client.create(storage.volumeattachments, attachmentFor(volume, nodeName), { signal });
      } catch (error) {
        if (!isAlreadyExists(error)) throw error;
      }
    }
  }

  #volumesOf(pod: Pod): readonly PersistentVolume[] {
    const { claims, volumes } = this.#sources;
    return claimsOfPod(pod).flatMap((key) => {
      const at = key.indexOf("/");
      const claim = claims.get({ namespace: key.slice(0, at), name: key.slice(at + 1) });
      if (claim === undefined || !isClaimFullyBound(claim)) return [];
      const volume = volumes.get({ namespace: "", name: claim.spec?.volumeName ?? "" });
      return volume?.spec?.claimRef?.uid === claim.metadata.uid && volume !== undefined ? [volume] : [];
    });
  }

  #usersOf(volume: PersistentVolume | undefined): readonly Pod[] {
    const ref = volume?.spec?.claimRef;
    if (ref === undefined) return [];
    const key = keyString({ namespace: ref.namespace ?? "", name: ref.name ?? "" });
    return this.#sources.pods.byIndex(BY_CLAIM, key).filter(({ spec }) => (spec?.nodeName ?? "") !== "");
  }

  #tell(want: WantedAttachment, type: "Normal" | "Warning", reason: string, message: string): void {
    for (const pod of want.pods) this.#events.event(pod, type, reason, message);
  }

  #tellAttached(nodeName: string, listed: readonly string[]): void {
    const { attachments, volumes } = this.#sources;
    for (const attachment of attachments.byIndex(BY_ATTACHED_NODE, nodeName)) {
      const name = attachment.metadata.name ?? "";
      const volume = volumes.get({ namespace: "", name: volumeNameOf(attachment) });
      const csi = volume?.spec?.csi;
      if (csi === undefined || !listed.includes(`kubernetes.io/csi/${csi.driver}^${csi.volumeHandle}`)) continue;
      if (this.#told.get(name) === "attached") continue;
      this.#told.set(name, "attached");
      const message = `AttachVolume.Attach succeeded for volume "${volumeNameOf(attachment)}" `;
      for (const pod of this.#usersOf(volume).filter(({ spec }) => spec?.nodeName === nodeName)) {
        this.#events.event(pod, "Normal", "SuccessfulAttachVolume", message);
      }
    }
  }

  #tellErrors(nodeName: string): void {
    const { attachments, volumes } = this.#sources;
    for (const attachment of attachments.byIndex(BY_ATTACHED_NODE, nodeName)) {
      const error = attachment.status?.attachError;
      const name = attachment.metadata.name ?? "";
      if (error === undefined || this.#told.get(name) === (error.time ?? "")) continue;
      this.#told.set(name, error.time ?? "");
      const message = `AttachVolume.Attach failed for volume "${volumeNameOf(attachment)}" : ${error.message ?? ""}`;
      const volume = volumes.get({ namespace: "", name: volumeNameOf(attachment) });
      for (const pod of this.#usersOf(volume).filter(({ spec }) => spec?.nodeName === nodeName)) {
        this.#events.event(pod, "Warning", "FailedAttachVolume", message);
      }
    }
  }
}

/** The name is what CSI attachers and kubelets expect: a digest of volume, driver and node. */
function attachmentFor(volume: PersistentVolume, nodeName: string): VolumeAttachment {
  const { driver = "", volumeHandle = "" } = volume.spec?.csi ?? {};
  const digest = createHash("sha256").update(`${volumeHandle}${driver}${nodeName}`).digest("hex");
  return {
    apiVersion: "storage.k8s.io/v1",
    kind: "VolumeAttachment",
    metadata: { name: `csi-${digest}` },
    spec: { attacher: driver, nodeName, source: { persistentVolumeName: volume.metadata.name } },
  };
}
