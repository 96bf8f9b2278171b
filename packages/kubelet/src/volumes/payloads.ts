/** The files that ConfigMaps, Secrets and downward API items put into volumes. Pure but for VolumeError. */
import type { ConfigMap, DownwardAPIVolumeFile, KeyToPath, Secret } from "@knarr/api/generated/types/core-v1.ts";
import { type PodFacts, podField, resourceField } from "../core/pod-fields.ts";
import type { PayloadFile } from "./atomic-writer.ts";
import { VolumeError } from "./volume.ts";

export type PayloadEntries = [path: string, file: PayloadFile][];

export interface PayloadOptions {
  readonly items: readonly KeyToPath[] | undefined;
  readonly optional: boolean;
  readonly defaultMode: number;
}

function select(
  all: ReadonlyMap<string, Buffer>,
  options: PayloadOptions,
  missingKey: (key: string) => string,
): PayloadEntries {
  const { items, defaultMode } = options;
  if (items === undefined || items.length === 0) {
    return [...all].map(([key, data]) => [key, { data, mode: defaultMode }]);
  }
  return items.flatMap(({ key, path, mode }): PayloadEntries => {
    const data = all.get(key);
    if (data !== undefined) return [[path, { data, mode: mode ?? defaultMode }]];
    if (options.optional) return [];
    throw new VolumeError(missingKey(key));
  });
}

/** `object` undefined: it does not exist. */
export function configMapPayload(name: string, object: ConfigMap | undefined, options: PayloadOptions): PayloadEntries {
  if (object === undefined) {
    if (options.optional) return [];
    throw new VolumeError(`configmap "${name}" not found`);
  }
  const all = new Map([
    ...Object.entries(object.data ?? {}).map(([key, text]): [string, Buffer] => [key, Buffer.from(text)]),
    ...Object.entries(object.binaryData ?? {}).map(([key, text]): [string, Buffer] => [
      key,
      Buffer.from(text, "base64"),
    ]),
  ]);
  return select(all, options, (key) => `configmap references non-existent config key: ${key}`);
}

export function secretPayload(name: string, object: Secret | undefined, options: PayloadOptions): PayloadEntries {
  if (object === undefined) {
    if (options.optional) return [];
    throw new VolumeError(`secret "${name}" not found`);
  }
  const entries = Object.entries(object.data ?? {}).map(([key, text]): [string, Buffer] => [
    key,
    Buffer.from(text, "base64"),
  ]);
  return select(new Map(entries), options, (key) => `references non-existent secret key: ${key}`);
}

export function downwardPayload(
  facts: PodFacts,
  items: readonly DownwardAPIVolumeFile[] | undefined,
  defaultMode: number,
): PayloadEntries {
  return (items ?? []).map((item) => {
    const text =
      item.fieldRef !== undefined
        ? podField(facts, item.fieldRef)
        : item.resourceFieldRef !== undefined
          ? resourceField(facts, item.resourceFieldRef, undefined)
          : "";
    return [item.path, { data: Buffer.from(text), mode: item.mode ?? defaultMode }];
  });
}
