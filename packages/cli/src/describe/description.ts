/** Builds the text of `describe`: lines at levels, cells that end with tabs, the parts that every kind has. */
import type { Toleration } from "@knarr/api/generated/types/core-v1.ts";
import type { LabelSelector } from "@knarr/apimachinery/generated/meta-v1.ts";
import { formatLabelSelector } from "@knarr/apimachinery/label-selector.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { tabAlign } from "../core/tab-align.ts";
import { describeTime } from "./describe-time.ts";

/** Longer annotations stand on lines of their own. Source: kubectl/pkg/describe/describe.go */
const MAX_ANNOTATION = 140;
const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";

type Map = Readonly<Record<string, string>>;

export class Description {
  #text = "";

  /** One or more lines; each level is two blanks. */
  line(level: number, text: string): void {
    this.#text += `${"  ".repeat(level)}${text}\n`;
  }

  /** `Label:\tvalue`, left out when the value is undefined. */
  field(level: number, label: string, value: string | number | boolean | undefined): void {
    if (value !== undefined) this.line(level, `${label}:\t${value}`);
  }

  /** `Labels:\ta=b` and the others below. */
  pairs(title: string, map: Map | undefined, separator = "="): void {
    const entries = Object.entries(map ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
    this.list(
      title,
      entries.map(([key, value]) => `${key}${separator}${value}`),
    );
  }

  /** Values below each other beside a title; `<none>` for none. */
  list(title: string, values: readonly string[]): void {
    if (values.length === 0) this.line(0, `${title}:\t<none>`);
    for (const [i, value] of values.entries()) this.line(0, `${i === 0 ? `${title}:` : ""}\t${value}`);
  }

  annotations(title: string, map: Map | undefined): void {
    const entries = Object.entries(map ?? {})
      .filter(([key]) => key !== LAST_APPLIED)
      .sort(([a], [b]) => (a < b ? -1 : 1));
    if (entries.length === 0) this.line(0, `${title}:\t<none>`);
    for (const [i, [key, whole]] of entries.entries()) {
      const value = whole.replace(/\n$/, "");
      const start = i === 0 ? `${title}:\t` : "\t";
      if (value.length + key.length + 2 > MAX_ANNOTATION || value.includes("\n")) {
        this.line(0, `${start}${key}:`);
        for (const part of value.split("\n")) this.line(0, `\t  ${shortened(part)}`);
      } else this.line(0, `${start}${key}: ${value}`);
    }
  }

  tolerations(title: string, tolerations: readonly Toleration[] | undefined): void {
    const sorted = (tolerations ?? []).toSorted((a, b) =>
      (a.key ?? "") < (b.key ?? "") ? -1 : (a.key ?? "") > (b.key ?? "") ? 1 : 0,
    );
    this.list(title, sorted.map(tolerationText));
  }

  /** Name, namespace and the like of every kind. */
  head(object: KubeObject, parts: readonly ("namespace" | "labels" | "annotations" | "created" | "owner")[]): void {
    const { metadata } = object;
    this.field(0, "Name", metadata.name ?? "");
    for (const part of parts) {
      if (part === "namespace") this.field(0, "Namespace", metadata.namespace ?? "");
      if (part === "labels") this.pairs("Labels", metadata.labels);
      if (part === "annotations") this.annotations("Annotations", metadata.annotations);
      if (part === "created") this.field(0, "CreationTimestamp", describeTime(metadata.creationTimestamp));
      if (part === "owner") this.owner(object);
    }
  }

  owner({ metadata }: KubeObject): void {
    const found = metadata.ownerReferences?.find((o) => o.controller === true);
    if (found !== undefined) this.field(0, "Controlled By", `${found.kind}/${found.name}`);
  }

  /** Text that is laid out already, such as events. */
  raw(text: string): void {
    this.#text += text;
  }

  toString(): string {
    return tabAlign(this.#text);
  }
}

function shortened(text: string): string {
  return text.length > MAX_ANNOTATION - 2 ? `${text.slice(0, MAX_ANNOTATION - 2)}...` : text;
}

function tolerationText(t: Toleration): string {
  const [key, value, effect] = [t.key ?? "", t.value ?? "", t.effect ?? ""];
  const head = `${key}${value === "" ? "" : `=${value}`}${effect === "" ? "" : `:${effect}`}`;
  const exists = t.operator === "Exists" && value === "" ? `${head === "" ? "" : " "}op=Exists` : "";
  const seconds = t.tolerationSeconds === undefined ? "" : ` for ${t.tolerationSeconds}s`;
  return `${head}${exists}${seconds}`;
}

export function selectorText(selector: LabelSelector | undefined): string {
  if (selector === undefined) return "<none>";
  const text = formatLabelSelector(selector);
  return text === "" ? "<none>" : text;
}

export const orNone = (text: string | undefined) => (text === undefined || text === "" ? "<none>" : text);
export const orUnset = (text: string | number | boolean | undefined) =>
  text === undefined || text === "" ? "<unset>" : String(text);
