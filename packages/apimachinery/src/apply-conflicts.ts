/**
 * Conflicts of server-side apply, as clients read them. kubectl and controllers parse these texts.
 * Source: k8s.io/apimachinery/pkg/util/managedfields/internal/conflict.go
 */
import { type FieldPath, type FieldSet, formatPath } from "./field-set.ts";
import type { ManagedFieldsEntry, StatusCause } from "./generated/meta-v1.ts";
import { quoteGo } from "./go-text.ts";
import { compareUtf8 } from "./json.ts";
import { type StatusError, statusErrors } from "./status-error.ts";

/** One manager and what it owns. */
export interface Owner {
  readonly entry: ManagedFieldsEntry;
  readonly set: FieldSet;
}

export interface FieldConflict {
  readonly entry: ManagedFieldsEntry;
  readonly path: FieldPath;
}

function managerText({ manager = "", subresource = "", operation, apiVersion }: ManagedFieldsEntry): string {
  const through = subresource === "" ? "" : ` with subresource ${quoteGo(subresource)}`;
  const using = operation === "Update" ? ` using ${apiVersion}` : "";
  return `${quoteGo(manager)}${through}${using}`;
}

/** 409, naming every manager and field. There is at least one conflict. */
export function conflictError(conflicts: readonly FieldConflict[]): StatusError {
  const causes = conflicts.map(
    ({ entry, path }): StatusCause => ({
      reason: "FieldManagerConflict",
      message: `conflict with ${managerText(entry)}`,
      field: formatPath(path),
    }),
  );
  return statusErrors.applyConflict(messageOf(conflicts), causes);
}

function messageOf(conflicts: readonly FieldConflict[]): string {
  const [first] = conflicts;
  if (conflicts.length === 1 && first !== undefined) {
    return `Apply failed with 1 conflict: conflict with ${managerText(first.entry)}: ${formatPath(first.path)}`;
  }
  const byManager = Map.groupBy(conflicts, ({ entry }) => managerText(entry));
  const lines = [...byManager]
    .sort(([a], [b]) => compareUtf8(a, b))
    .flatMap(([manager, own]) => [`conflicts with ${manager}:`, ...own.map(({ path }) => `- ${formatPath(path)}`)]);
  return `Apply failed with ${conflicts.length} conflicts: ${lines.join("\n")}`;
}
