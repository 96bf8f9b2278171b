/**
 * Objects as text: yaml and json as kubectl writes them (keys sorted, lists unindented, 4 spaces in JSON), or names.
 */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { stringify } from "yaml";
import { sortKeys } from "./go-text.ts";
import type { DiscoveredResource } from "./resource-mapper.ts";

/** kubectl hides managedFields unless asked. */
export function withoutManagedFields<T extends KubeObject>(object: T): T {
  const { managedFields: _hidden, ...metadata } = object.metadata;
  return { ...object, metadata };
}

/** `pod/web`, `deployment.apps/web`. */
export function objectName(resource: Pick<DiscoveredResource, "group" | "singular">, name: string): string {
  return resource.group === "" ? `${resource.singular}/${name}` : `${resource.singular}.${resource.group}/${name}`;
}

export function renderYaml(value: unknown): string {
  return stringify(value, {
    version: "1.1",
    indentSeq: false,
    sortMapEntries: true,
    lineWidth: 0,
    aliasDuplicateObjects: false,
  });
}

export function renderJson(value: unknown): string {
  const whole = (_key: string, inner: unknown) => (typeof inner === "bigint" ? rawJson(String(inner)) : inner);
  return `${JSON.stringify(sortKeys(value), whole, 4)}\n`;
}

/** 64-bit numbers as they are. */
const { rawJSON: rawJson } = JSON as unknown as { rawJSON(text: string): unknown };

/** Several objects as one document of kind List. */
export function listOf(items: readonly unknown[]): object {
  return { apiVersion: "v1", items, kind: "List", metadata: { resourceVersion: "" } };
}
