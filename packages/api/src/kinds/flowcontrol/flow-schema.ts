import { ageColumn, integerColumn, nameColumn, orNone, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { defineKind, statusOf } from "../../define-kind.ts";
import { flowcontrol } from "../../generated/resources.ts";
import type { FlowSchema } from "../../generated/types/flowcontrol-v1.ts";
import { requireText } from "../../validation/common.ts";
import { subdomainName } from "../../validation/names.ts";
import { validateConditionTypes } from "./condition-rules.ts";
import { validatePolicyRule } from "./flow-schema-rules.ts";
import { mandatorySchemaSpecs } from "./mandatory.ts";

const maxPrecedence = 10_000;
const methods = ["ByNamespace", "ByUser"];

const precedenceOf = ({ spec }: FlowSchema): number => spec?.matchingPrecedence ?? 0;
const compareText = (a = "", b = ""): number => (a < b ? -1 : a > b ? 1 : 0);

function danglingText(schema: FlowSchema): string {
  const dangling = schema.status?.conditions?.find((condition) => condition.type === "Dangling");
  if (dangling === undefined) return "?";
  return dangling.status === "True" ? "True" : dangling.status === "False" ? "False" : "?";
}

/** Source: pkg/registry/flowcontrol/flowschema/strategy.go, ValidateFlowSchema; defaults of flowcontrol/v1 */
export const flowSchemaKind = defineKind<FlowSchema>({
  ref: flowcontrol.flowschemas,
  subresources: [statusOf("FlowSchema")],
  prefix: "/registry/flowschemas",
  nameRule: subdomainName,
  statusFreezesMetadata: true,
  default({ spec }) {
    if (spec !== undefined) spec.matchingPrecedence ||= 1000;
  },
  validate(errors, { metadata: { name = "" }, spec }) {
    const precedence = spec?.matchingPrecedence ?? 0;
    if (precedence <= 0) errors.invalid("spec.matchingPrecedence", precedence, "must be a positive value");
    if (precedence > maxPrecedence)
      errors.invalid("spec.matchingPrecedence", precedence, `must not be greater than ${maxPrecedence}`);
    if (precedence === 1 && name !== "exempt") {
      const detail = "only the schema named 'exempt' may have matchingPrecedence 1";
      errors.invalid("spec.matchingPrecedence", precedence, detail);
    }
    const method = spec?.distinguisherMethod;
    if (method !== undefined && !methods.includes(method.type)) {
      // Upstream shows the method in the form of its internal type.
      errors.notSupported("spec.distinguisherMethod.type", { Type: method.type }, methods);
    }
    const level = spec?.priorityLevelConfiguration?.name;
    if (requireText(errors, "spec.priorityLevelConfiguration.name", level, "must reference a priority level")) {
      errors.invalidAll("spec.priorityLevelConfiguration.name", level, subdomainName(level, false));
    }
    for (const [i, rule] of (spec?.rules ?? []).entries()) validatePolicyRule(errors, `spec.rules[${i}]`, rule);
    const fixed = mandatorySchemaSpecs[name];
    if (fixed !== undefined && !deepEqual(spec, fixed)) {
      errors.invalid("spec", spec, `spec of '${name}' must equal the fixed value`);
    }
  },
  validateSubresource: (errors, { status }) => validateConditionTypes(errors, status?.conditions),
  compareRows: (a, b) => precedenceOf(a) - precedenceOf(b) || compareText(a.metadata.name, b.metadata.name),
  columns: [
    nameColumn(),
    textColumn("PriorityLevel", ({ spec }) => spec?.priorityLevelConfiguration?.name ?? ""),
    { ...integerColumn<FlowSchema>("MatchingPrecedence", ({ spec }) => spec?.matchingPrecedence ?? 0), type: "string" },
    textColumn("DistinguisherMethod", ({ spec }) => orNone(spec?.distinguisherMethod?.type)),
    ageColumn(),
    textColumn("MissingPL", danglingText),
  ],
});
