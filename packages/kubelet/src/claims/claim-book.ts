/**
 * The claims that are or may be prepared on this node, for which pods, and what their drivers gave for them. In memory; its
 * text form is upstream's dra_manager_state.
 * Source: pkg/kubelet/cm/dra/state
 */
import { crc32 } from "node:zlib";

export interface PreparedDevice {
  readonly poolName: string;
  readonly deviceName: string;
  /** The requests of the claim that it is for; none: all. */
  readonly requestNames: readonly string[];
  readonly cdiDeviceIds: readonly string[];
}

export interface ClaimKey {
  readonly namespace: string;
  readonly name: string;
}

export interface ClaimRef extends ClaimKey {
  readonly uid: string;
}

export interface BookedClaim extends ClaimRef {
  readonly podUids: Set<string>;
  /** What each driver gave; of a driver that was not asked yet, nothing. */
  readonly drivers: Map<string, readonly PreparedDevice[]>;
  /** Every driver was asked since this kubelet started. Asking again does no harm. */
  isPrepared: boolean;
}

/** The file is not one of this kind, or not what was written. */
export class ClaimBookError extends Error {}

export const keyOfClaim = ({ namespace, name }: ClaimKey): string => `${namespace}/${name}`;

export class ClaimBook {
  readonly #claims = new Map<string, BookedClaim>();

  get(key: ClaimKey): BookedClaim | undefined {
    return this.#claims.get(keyOfClaim(key));
  }

  /** The claim's entry, new or the one that is there. */
  enter(ref: ClaimRef, drivers: readonly string[]): BookedClaim {
    const { namespace, name, uid } = ref;
    const known = this.get(ref);
    if (known !== undefined) return known;
    const made: BookedClaim = {
      ...{ namespace, name, uid },
      podUids: new Set(),
      drivers: new Map(drivers.map((driver) => [driver, []])),
      isPrepared: false,
    };
    this.#claims.set(keyOfClaim(ref), made);
    return made;
  }

  delete(key: ClaimKey): void {
    this.#claims.delete(keyOfClaim(key));
  }

  claimsOf(podUid: string): readonly BookedClaim[] {
    return [...this.#claims.values()].filter(({ podUids }) => podUids.has(podUid));
  }

  podUids(): ReadonlySet<string> {
    return new Set([...this.#claims.values()].flatMap(({ podUids }) => [...podUids]));
  }

  /** Names of the CDI devices that a container gets for a request of the claim; "" for all of it. */
  cdiDevices(key: ClaimKey, request: string): readonly string[] {
    const devices = [...(this.get(key)?.drivers.values() ?? [])].flat();
    return devices
      .filter(({ requestNames }) => request === "" || requestNames.length === 0 || requestNames.includes(request))
      .flatMap(({ cdiDeviceIds }) => cdiDeviceIds);
  }

  toText(): string {
    const Entries = [...this.#claims.values()].map(({ namespace, name, uid, podUids, drivers }) => ({
      ...{ ClaimUID: uid, ClaimName: name, Namespace: namespace },
      PodUIDs: Object.fromEntries([...podUids].map((podUid) => [podUid, {}])),
      DriverState: Object.fromEntries([...drivers].map(([driver, devices]) => [driver, stateOf(devices)])),
    }));
    const Data = JSON.stringify({ kind: KIND, apiVersion: API_VERSION, Entries });
    return JSON.stringify({ Data, Checksum: crc32(Data) });
  }

  /** Throws ClaimBookError. */
  static fromText(text: string): ClaimBook {
    const book = new ClaimBook();
    for (const entry of entriesIn(text)) {
      const claim = book.enter({ namespace: entry.Namespace, name: entry.ClaimName, uid: entry.ClaimUID }, []);
      for (const podUid of Object.keys(entry.PodUIDs ?? {})) claim.podUids.add(podUid);
      for (const [driver, state] of Object.entries(entry.DriverState ?? {})) {
        claim.drivers.set(driver, (state?.Devices ?? []).map(deviceOf));
      }
    }
    return book;
  }
}

const KIND = "DRACheckpoint";
const API_VERSION = "checkpoint.dra.kubelet.k8s.io/v1";

/** Go writes null for what it has none of. */
interface WireDevice {
  readonly PoolName: string;
  readonly DeviceName: string;
  readonly RequestNames: readonly string[] | null;
  readonly CDIDeviceIDs: readonly string[] | null;
}

interface WireEntry {
  readonly ClaimUID: string;
  readonly ClaimName: string;
  readonly Namespace: string;
  readonly PodUIDs: Readonly<Record<string, object>> | null;
  readonly DriverState: Readonly<Record<string, { readonly Devices: readonly WireDevice[] | null } | null>> | null;
}

function stateOf(devices: readonly PreparedDevice[]): { readonly Devices: readonly WireDevice[] } {
  return {
    Devices: devices.map(({ poolName, deviceName, requestNames, cdiDeviceIds }) => ({
      ...{ PoolName: poolName, DeviceName: deviceName },
      ...{ RequestNames: requestNames, CDIDeviceIDs: cdiDeviceIds },
    })),
  };
}

function deviceOf({ PoolName, DeviceName, RequestNames, CDIDeviceIDs }: WireDevice): PreparedDevice {
  return {
    ...{ poolName: PoolName, deviceName: DeviceName },
    ...{ requestNames: RequestNames ?? [], cdiDeviceIds: CDIDeviceIDs ?? [] },
  };
}

function entriesIn(text: string): readonly WireEntry[] {
  let file: { readonly Data?: unknown; readonly Checksum?: unknown };
  try {
    file = JSON.parse(text) as typeof file;
  } catch (cause) {
    throw new ClaimBookError("checkpoint is not readable", { cause });
  }
  if (typeof file.Data !== "string" || crc32(file.Data) !== file.Checksum) {
    throw new ClaimBookError("checkpoint is corrupted");
  }
  return (JSON.parse(file.Data) as { readonly Entries?: readonly WireEntry[] | null }).Entries ?? [];
}
