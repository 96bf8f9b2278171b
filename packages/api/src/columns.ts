/** Building blocks of printer columns. Source: k8s.io/kubernetes/pkg/printers/internalversion */
import type { LabelSelector } from "@knarr/apimachinery/generated/meta-v1.ts";
import { formatLabelSelector } from "@knarr/apimachinery/label-selector.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { columnDescriptions } from "./column-descriptions.ts";
import type { PrinterColumn } from "./descriptor.ts";
import type { PodTemplateSpec } from "./generated/types/core-v1.ts";
import { ageSince } from "./human-duration.ts";
import { usableSelector } from "./usable-selector.ts";

type Cell<T> = (object: T, now: number) => string | number | boolean;

/** A string column; `wide` columns show with -o wide only. */
export function textColumn<T>(name: string, cell: Cell<T>, wide?: "wide"): PrinterColumn<T> {
  const description = columnDescriptions[name] ?? "";
  return { name, type: "string", format: "", description, priority: wide === undefined ? 0 : 1, cell };
}

export function integerColumn<T>(name: string, cell: Cell<T>, wide?: "wide"): PrinterColumn<T> {
  return { ...textColumn(name, cell, wide), type: "integer" };
}

export function nameColumn<T extends KubeObject>(): PrinterColumn<T> {
  return { ...textColumn<T>("Name", (object) => object.metadata.name ?? ""), format: "name" };
}

export function ageColumn<T extends KubeObject>(): PrinterColumn<T> {
  return textColumn("Age", (object, now) => ageSince(object.metadata.creationTimestamp, now));
}

/** "app=web,tier=front" with sorted keys; `<none>` for no labels. */
export function formatLabels(labels: Record<string, string> | undefined): string {
  const keys = Object.keys(labels ?? {}).sort();
  return keys.length === 0 ? "<none>" : keys.map((key) => `${key}=${labels?.[key]}`).join(",");
}

/** A selector as columns show it: nil and empty are `<none>`. */
export function formatSelector(selector: LabelSelector | undefined): string {
  if (selector === undefined) return "<none>";
  if (usableSelector(selector) === undefined) return "<error>";
  const text = formatLabelSelector(selector);
  return text === "" ? "<none>" : text;
}

/** Text, or `<none>`. */
export function orNone(text: string | undefined): string {
  return text === undefined || text === "" ? "<none>" : text;
}

/** "a,b,c + 2 more..." */
export function listWithMore(items: readonly string[], max: number): string {
  const shown = items.slice(0, max).join(",");
  return items.length > max ? `${shown} + ${items.length - max} more...` : shown;
}

/** The wide columns Containers and Images of everything that has a pod template. */
export function containerColumns<T>(template: (object: T) => PodTemplateSpec | undefined): PrinterColumn<T>[] {
  const containers = (object: T) => template(object)?.spec?.containers ?? [];
  return [
    textColumn(
      "Containers",
      (object) =>
        containers(object)
          .map((c) => c.name)
          .join(","),
      "wide",
    ),
    textColumn(
      "Images",
      (object) =>
        containers(object)
          .map((c) => c.image ?? "")
          .join(","),
      "wide",
    ),
  ];
}
