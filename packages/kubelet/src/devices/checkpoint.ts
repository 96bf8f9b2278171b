/**
 * The text of kubelet_internal_checkpoint, in upstream's format: upstream's kubelet can take over from this one and the
 * other way round. Pure; what plugins answered stays bytes here.
 * Source: pkg/kubelet/cm/devicemanager/checkpoint
 */
import { byBytes, goChecksum, goList, goMap } from "../core/go-checksum.ts";

export interface CheckpointEntry {
  readonly podUid: string;
  readonly container: string;
  readonly resource: string;
  readonly devices: ReadonlyMap<number, readonly string[]>;
  /** A ContainerAllocateResponse in protobuf. */
  readonly answer: Uint8Array;
}

export interface Checkpoint {
  readonly entries: readonly CheckpointEntry[];
  /** Healthy devices by resource. */
  readonly registered: ReadonlyMap<string, readonly string[]>;
}

export class CheckpointError extends Error {}

interface WireEntry {
  readonly PodUID: string;
  readonly ContainerName: string;
  readonly ResourceName: string;
  readonly DeviceIDs: Readonly<Record<string, readonly string[] | null>> | null;
  readonly AllocResp: string | null;
}

interface WireData {
  readonly PodDeviceEntries: readonly WireEntry[] | null;
  readonly RegisteredDevices: Readonly<Record<string, readonly string[] | null>> | null;
}

function checksumOf({ PodDeviceEntries, RegisteredDevices }: WireData): number {
  const entries = PodDeviceEntries?.map((entry) => {
    const { DeviceIDs, AllocResp } = entry;
    const devices =
      DeviceIDs &&
      Object.entries(DeviceIDs)
        .toSorted(([a], [b]) => Number(a) - Number(b))
        .map(([node, ids]) => [node, goList(ids)] as const);
    const answer = AllocResp === null ? null : [...Buffer.from(AllocResp, "base64")];
    const named = `PodUID:(string)${entry.PodUID} ContainerName:(string)${entry.ContainerName} ResourceName:(string)${entry.ResourceName}`;
    return `{${named} DeviceIDs:(checkpoint.DevicesPerNUMA)${goMap(devices)} AllocResp:([]uint8)${goList(answer)}}`;
  });
  const registered =
    RegisteredDevices &&
    Object.entries(RegisteredDevices)
      .toSorted(([a], [b]) => byBytes(a, b))
      .map(([name, ids]) => [name, goList(ids)] as const);
  return goChecksum(
    `(checkpoint.checkpointData){PodDeviceEntries:([]checkpoint.PodDevicesEntry)${goList(entries ?? null)} RegisteredDevices:(map[string][]string)${goMap(registered)}}`,
  );
}

export function renderCheckpoint({ entries, registered }: Checkpoint): string {
  const wire: WireData = {
    PodDeviceEntries:
      entries.length === 0
        ? null
        : entries.map((entry) => ({
            PodUID: entry.podUid,
            ContainerName: entry.container,
            ResourceName: entry.resource,
            DeviceIDs: Object.fromEntries(entry.devices),
            AllocResp: Buffer.from(entry.answer).toString("base64"),
          })),
    RegisteredDevices: Object.fromEntries(registered),
  };
  return JSON.stringify({ Data: wire, Checksum: checksumOf(wire) });
}

/** Throws CheckpointError when the text is not a checkpoint, or not the one that was written. */
export function parseCheckpoint(text: string): Checkpoint {
  const data = checkedData(text);
  return {
    entries: (data.PodDeviceEntries ?? []).map((entry) => ({
      podUid: entry.PodUID,
      container: entry.ContainerName,
      resource: entry.ResourceName,
      devices: new Map(Object.entries(entry.DeviceIDs ?? {}).map(([node, ids]) => [Number(node), ids ?? []])),
      answer: Buffer.from(entry.AllocResp ?? "", "base64"),
    })),
    registered: new Map(Object.entries(data.RegisteredDevices ?? {}).map(([name, ids]) => [name, ids ?? []])),
  };
}

function checkedData(text: string): WireData {
  let isIntact: boolean;
  let wire: { readonly Data: WireData; readonly Checksum: number };
  try {
    wire = JSON.parse(text) as typeof wire;
    isIntact = checksumOf(wire.Data) === wire.Checksum;
  } catch (cause) {
    // Not JSON, or of another shape.
    throw new CheckpointError("checkpoint is not readable", { cause });
  }
  if (!isIntact) throw new CheckpointError("checkpoint is corrupted");
  return wire.Data;
}
