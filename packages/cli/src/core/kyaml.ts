/** KYAML: YAML in flow style with quoted strings, which no tool misreads. Source: KEP-5295, sigs.k8s.io/yaml/kyaml. */

import { sortKeys } from "./go-text.ts";

/** One document, with its leading `---`. */
export function renderKyaml(value: unknown): string {
  return `---\n${render(sortKeys(value), 0)}\n`;
}

function render(value: unknown, depth: number): string {
  const pad = "  ".repeat(depth + 1);
  const end = "  ".repeat(depth);
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]";
    const isNested = value.some((item) => typeof item === "object" && item !== null);
    if (!isNested) return `[\n${value.map((item) => `${pad}${render(item, depth + 1)},\n`).join("")}${end}]`;
    // Objects in lists are cuddled: `[{ ... }, { ... }]`.
    return `[${value.map((item) => render(item, depth)).join(", ")}]`;
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
    if (entries.length === 0) return "{}";
    return `{\n${entries.map(([key, inner]) => `${pad}${keyText(key)}: ${render(inner, depth + 1)},\n`).join("")}${end}}`;
  }
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

/** Keys that YAML could take for another type, or that are no plain words, are quoted. */
function keyText(key: string): string {
  const isPlain = /^[A-Za-z_][A-Za-z0-9_.-]*$/.test(key) && !/^(y|n|yes|no|on|off|true|false|null)$/i.test(key);
  return isPlain ? key : JSON.stringify(key);
}
