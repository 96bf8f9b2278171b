/**
 * The annotation of kubectl's client-side apply, where server-side apply takes over from it.
 * Source: k8s.io/apimachinery/pkg/util/managedfields/internal: lastapplied.go, lastappliedmanager.go, lastappliedupdater.go
 */
import { differenceOfSets, EMPTY_SET, type FieldSet, unionSets } from "./field-set.ts";
import { JsonError, parseJson, stringifyCanonical } from "./json.ts";
import type { KubeObject } from "./object.ts";
import { isJsonObject } from "./schema.ts";
import { compareValues, fieldSetOf, type Slot } from "./typed-merge.ts";

export const LAST_APPLIED_ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration";

/** Fields that client-side apply set last and that are still as it set them. */
export function allowedByLastApplied(slot: Slot, live: KubeObject, apiVersion: string): FieldSet {
  const text = live.metadata.annotations?.[LAST_APPLIED_ANNOTATION];
  if (text === undefined || text === "") return EMPTY_SET;
  let last: unknown;
  try {
    last = parseJson(text);
  } catch (error) {
    // The annotation is the client's business; what it can't say allows nothing.
    if (error instanceof JsonError) return EMPTY_SET;
    throw error;
  }
  if (!isJsonObject(last) || last.apiVersion !== apiVersion) return EMPTY_SET;
  const { added, modified, removed } = compareValues(slot, last, live);
  return differenceOfSets(fieldSetOf(slot, last), unionSets(unionSets(added, modified), removed));
}

/** The object with the annotation brought up to date, if it has one: an older kubectl may take over again. */
export function withLastApplied(object: KubeObject, applied: KubeObject): KubeObject {
  if ((object.metadata.annotations?.[LAST_APPLIED_ANNOTATION] ?? "") === "") return object;
  const { annotations } = applied.metadata;
  let { metadata } = applied;
  if (annotations !== undefined) {
    const { [LAST_APPLIED_ANNOTATION]: _own, ...rest } = annotations;
    metadata = { ...metadata, annotations: rest };
  }
  const text = `${stringifyCanonical({ ...applied, metadata })}\n`;
  return {
    ...object,
    metadata: { ...object.metadata, annotations: { ...object.metadata.annotations, [LAST_APPLIED_ANNOTATION]: text } },
  };
}
