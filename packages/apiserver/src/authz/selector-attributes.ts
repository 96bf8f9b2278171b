/**
 * Field and label selectors of access reviews (KEP-4601): what is wrong with them, and what they ask. A selector that can't be read in
 * whole narrows less, which only makes the question broader; the answer's evaluationError says so.
 * Source: k8s.io/kubernetes/pkg/apis/authorization/validation; pkg/registry/authorization/util ResourceAttributesFrom
 */
import type { ResourceAttributes as ReviewedResource } from "@knarr/api/generated/types/authorization-v1.ts";
import { forbidden, invalid, required } from "@knarr/apimachinery/field-errors.ts";
import { FieldSelectorError, parseFieldSelector } from "@knarr/apimachinery/field-selector.ts";
import { parseLabelSelector, SelectorError } from "@knarr/apimachinery/label-selector.ts";
import { isLabelValue, isQualifiedName } from "@knarr/apimachinery/name-validation.ts";
import type { FieldError } from "@knarr/apimachinery/status-error.ts";
import type { SelectorRequirement } from "./types.ts";

interface AskedRequirement {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[] | undefined;
}

interface AskedSelector {
  readonly rawSelector?: string | undefined;
  readonly requirements?: readonly AskedRequirement[] | undefined;
}

/** `path` is that of the resource attributes. Operators that are not known are no errors: a newer client may send them. */
export function validateSelectors(resource: ReviewedResource | undefined, path: string): FieldError[] {
  if (resource === undefined) return [];
  const fields = validateSelector(resource.fieldSelector, `${path}.fieldSelector`, (asked, at) =>
    asked.key === ""
      ? [required(`${at}.key`, "must be specified"), ...valuesErrors(asked, at)]
      : valuesErrors(asked, at),
  );
  const labels = validateSelector(resource.labelSelector, `${path}.labelSelector`, (asked, at) => [
    ...valuesErrors(asked, at),
    ...isQualifiedName(asked.key).map((why) => invalid(`${at}.key`, asked.key, why)),
    ...(asked.values ?? []).flatMap((value, i) =>
      isLabelValue(value).map((why) => invalid(`${at}.values[${i}]`, value, why)),
    ),
  ]);
  return [...fields, ...labels];
}

function validateSelector(
  selector: AskedSelector | undefined,
  path: string,
  validateOne: (asked: AskedRequirement, at: string) => FieldError[],
): FieldError[] {
  if (selector === undefined) return [];
  const { rawSelector = "", requirements = [] } = selector;
  const errors: FieldError[] = [];
  if (rawSelector !== "" && requirements.length > 0) {
    errors.push(invalid(`${path}.rawSelector`, rawSelector, "may not specified at the same time as requirements"));
  }
  if (rawSelector === "" && requirements.length === 0) {
    const why = `when ${path} is specified, requirements or rawSelector is required`;
    errors.push(required(`${path}.requirements`, why));
  }
  return [...errors, ...requirements.flatMap((asked, i) => validateOne(asked, `${path}.requirements[${i}]`))];
}

function valuesErrors({ operator, values = [] }: AskedRequirement, at: string): FieldError[] {
  if ((operator === "In" || operator === "NotIn") && values.length === 0) {
    return [required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'")];
  }
  if ((operator === "Exists" || operator === "DoesNotExist") && values.length > 0) {
    return [forbidden(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")];
  }
  return [];
}

export interface AskedSelectors {
  readonly fieldSelector?: readonly SelectorRequirement[];
  readonly labelSelector?: readonly SelectorRequirement[];
  /** What could not be read, for evaluationError. */
  readonly unread: readonly string[];
}

interface Read {
  readonly requirements: readonly SelectorRequirement[];
  readonly whole: boolean;
}

/** The requirements that can be read, of resource attributes that are valid. */
export function selectorsOfReview({ fieldSelector, labelSelector }: ReviewedResource): AskedSelectors {
  const fields = readSelector(fieldSelector, readRawFields, readField);
  const labels = readSelector(labelSelector, readRawLabels, readLabel);
  return {
    ...(fields.requirements.length === 0 ? {} : { fieldSelector: fields.requirements }),
    ...(labels.requirements.length === 0 ? {} : { labelSelector: labels.requirements }),
    unread: [...unread("fieldSelector", fields), ...unread("labelSelector", labels)],
  };
}

function readSelector(
  selector: AskedSelector | undefined,
  readRaw: (text: string) => Read,
  readOne: (asked: AskedRequirement) => SelectorRequirement | undefined,
): Read {
  const { rawSelector = "", requirements: asked = [] } = selector ?? {};
  if (rawSelector !== "") return readRaw(rawSelector);
  const requirements = asked.map(readOne).filter((one) => one !== undefined);
  return { requirements, whole: requirements.length === asked.length };
}

function unread(selector: string, { requirements, whole }: Read): string[] {
  if (whole) return [];
  const how = requirements.length > 0 ? "partially ignored" : "ignored";
  return [`spec.resourceAttributes.${selector} ${how} due to parse error`];
}

const NONE: Read = { requirements: [], whole: true };
const UNREADABLE: Read = { requirements: [], whole: false };

/** A field selector's text; nothing for one that can't be read. */
export function readRawFields(text: string): Read {
  if (text === "") return NONE;
  try {
    const { requirements } = parseFieldSelector(text);
    return {
      requirements: requirements.map(({ field, op, value }) => ({ key: field, operator: op, values: [value] })),
      whole: true,
    };
  } catch (error) {
    if (error instanceof FieldSelectorError) return UNREADABLE;
    throw error;
  }
}

/** A label selector's text; nothing for one that can't be read. */
export function readRawLabels(text: string): Read {
  if (text === "") return NONE;
  try {
    return { requirements: parseLabelSelector(text).requirements, whole: true };
  } catch (error) {
    if (error instanceof SelectorError) return UNREADABLE;
    throw error;
  }
}

/** Field selectors know one value, equal or not. */
function readField({ key, operator, values = [] }: AskedRequirement): SelectorRequirement | undefined {
  const op = { In: "=", NotIn: "!=" }[operator];
  return op === undefined || values.length !== 1 ? undefined : { key, operator: op, values };
}

function readLabel({ key, operator, values = [] }: AskedRequirement): SelectorRequirement | undefined {
  return ["In", "NotIn", "Exists", "DoesNotExist"].includes(operator) ? { key, operator, values } : undefined;
}
