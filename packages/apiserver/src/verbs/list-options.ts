/**
 * Query parameters of list, watch and deletecollection as the store's options. Pure.
 * Source: k8s.io/apimachinery/pkg/apis/meta/v1 ListOptions and its validation.
 */

import type { KindDescriptor } from "@knarr/api/descriptor.ts";
import { type FieldSelector, parseFieldSelector } from "@knarr/apimachinery/field-selector.ts";
import { quoteGo } from "@knarr/apimachinery/go-text.ts";
import { parseLabelSelector } from "@knarr/apimachinery/label-selector.ts";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import { type FieldError, statusErrors } from "@knarr/apimachinery/status-error.ts";
import { parseInt64 } from "../http/parse-int64.ts";
import { isTrue } from "../http/request-info.ts";
import type { Resource } from "../registry/resource.ts";
import type { ListOptions, ObjectSelector } from "../storage/types.ts";

export interface ListQuery {
  readonly selector: ObjectSelector;
  readonly resourceVersion: string | undefined;
  readonly resourceVersionMatch: "" | "Exact" | "NotOlderThan";
  readonly limit: number;
  readonly continueToken: string | undefined;
  readonly timeoutSeconds: number | undefined;
  readonly allowWatchBookmarks: boolean;
  readonly sendInitialEvents: boolean | undefined;
}

/** Throws 400 for selectors that don't parse or name unknown fields, 422 for combinations that make no sense. */
export function parseListQuery(
  query: URLSearchParams,
  resource: Resource,
  at: { readonly namespace: string; readonly name: string; readonly watch: boolean },
): ListQuery {
  const match = query.get("resourceVersionMatch") ?? "";
  const sendInitialEvents = query.get("sendInitialEvents");
  const options: ListQuery = {
    selector: parseSelector(query, resource, at.namespace, at.name),
    resourceVersion: query.get("resourceVersion") || undefined,
    resourceVersionMatch: match as ListQuery["resourceVersionMatch"],
    limit: integer(query, "limit") ?? 0,
    continueToken: query.get("continue") || undefined,
    timeoutSeconds: integer(query, "timeoutSeconds"),
    allowWatchBookmarks: isTrue(query.get("allowWatchBookmarks")),
    sendInitialEvents: sendInitialEvents === null ? undefined : isTrue(sendInitialEvents),
  };
  const errors = at.watch ? checkWatch(options, match) : checkList(options, match);
  if (errors.length > 0) throw statusErrors.invalid("meta.k8s.io", "ListOptions", "", errors);
  return options;
}

export function storeListOptions(query: ListQuery): ListOptions {
  return {
    ...query.selector,
    ...(query.resourceVersion === undefined ? {} : { resourceVersion: query.resourceVersion }),
    resourceVersionMatch: query.resourceVersionMatch,
    limit: query.limit,
    ...(query.continueToken === undefined ? {} : { continue: query.continueToken }),
  };
}

function integer(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === "") return undefined;
  return parseInt64(text);
}

function parseSelector(query: URLSearchParams, resource: Resource, namespace: string, name: string): ObjectSelector {
  const { descriptor } = resource;
  const labelText = query.get("labelSelector") ?? "";
  const fieldText = query.get("fieldSelector") ?? "";
  let fields: FieldSelector | undefined;
  let labels: ReturnType<typeof parseLabelSelector> | undefined;
  try {
    if (labelText !== "") labels = parseLabelSelector(labelText);
    if (fieldText !== "") fields = parseFieldSelector(fieldText);
  } catch (error) {
    throw statusErrors.badRequest((error as Error).message);
  }
  const known = [
    "metadata.name",
    // Of kinds without fields of their own, upstream does not ask whether they have a namespace.
    ...(descriptor.ref.namespaced || descriptor.selectableFields.length === 0 ? ["metadata.namespace"] : []),
    ...descriptor.selectableFields,
  ];
  for (const requirement of fields?.requirements ?? []) {
    if (!known.includes(requirement.field)) {
      throw statusErrors.badRequest(unknownFieldText(descriptor, requirement.field));
    }
  }
  const named = fields?.requirements.find((r) => r.field === "metadata.name" && r.op === "=")?.value;
  const wanted = name !== "" ? name : named;
  return {
    namespace: descriptor.ref.namespaced ? namespace : "",
    ...(wanted === undefined || wanted === "" ? {} : { name: wanted }),
    ...(labels === undefined ? {} : { labels }),
    ...(fields === undefined || (fields.requirements.length === 1 && named === wanted && wanted !== undefined)
      ? {}
      : { fields }),
  };
}

/** Source: runtime.DefaultMetaV1FieldSelectorConversion; the conversion functions of kinds with fields of their own. */
function unknownFieldText({ ref, selectableFields }: KindDescriptor, field: string): string {
  if (selectableFields.length === 0) {
    return `${quoteGo(field)} is not a known field selector: only "metadata.name", "metadata.namespace"`;
  }
  if (ref.kind === "Job") return `field label ${quoteGo(field)} not supported for Job`;
  if (ref.kind !== "ResourceSlice") return `field label not supported: ${field}`;
  return `field label not supported for ${apiVersionOf(ref)}, Kind=${ref.kind}: ${field}`;
}

const forbiddenMatch = (why: string): FieldError => ({
  type: "FieldValueForbidden",
  field: "resourceVersionMatch",
  message: `Forbidden: ${why}`,
});

function checkMatchValue(match: string, supported: readonly string[]): FieldError[] {
  if (supported.includes(match)) return [];
  return [
    {
      type: "FieldValueNotSupported",
      field: "resourceVersionMatch",
      message: `Unsupported value: ${quoteGo(match)}: supported values: ${supported.map(quoteGo).join(", ")}`,
    },
  ];
}

function checkList(options: ListQuery, match: string): FieldError[] {
  const errors = match === "" ? [] : checkListMatch(options, match);
  if (options.sendInitialEvents !== undefined) {
    errors.push({
      type: "FieldValueForbidden",
      field: "sendInitialEvents",
      message: "Forbidden: sendInitialEvents is forbidden for list",
    });
  }
  return errors;
}

function checkListMatch(options: ListQuery, match: string): FieldError[] {
  const errors: FieldError[] = [];
  if (options.resourceVersion === undefined) {
    errors.push(forbiddenMatch("resourceVersionMatch is forbidden unless resourceVersion is provided"));
  }
  if (options.continueToken !== undefined) {
    errors.push(forbiddenMatch("resourceVersionMatch is forbidden when continue is provided"));
  }
  errors.push(...checkMatchValue(match, ["Exact", "NotOlderThan", ""]));
  if (match === "Exact" && options.resourceVersion === "0") {
    errors.push(forbiddenMatch(`resourceVersionMatch "exact" is forbidden for resourceVersion "0"`));
  }
  return errors;
}

function checkWatch(options: ListQuery, match: string): FieldError[] {
  const errors: FieldError[] = [];
  if (options.sendInitialEvents !== undefined && match !== "NotOlderThan") {
    errors.push(forbiddenMatch("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
  }
  if (match === "") return errors;
  if (options.sendInitialEvents === undefined) {
    errors.push(forbiddenMatch("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"));
  }
  errors.push(...checkMatchValue(match, ["NotOlderThan"]));
  if (options.continueToken !== undefined) {
    errors.push(forbiddenMatch("resourceVersionMatch is forbidden when continue is provided"));
  }
  return errors;
}
