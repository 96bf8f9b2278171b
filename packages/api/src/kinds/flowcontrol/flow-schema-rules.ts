/** What flow schemas say about requests. Source: pkg/apis/flowcontrol/validation ValidateFlowSchemaPolicyRulesWithSubjects */
import { isDns1123Label } from "@knarr/apimachinery/name-validation.ts";
import type {
  NonResourcePolicyRule,
  PolicyRulesWithSubjects,
  ResourcePolicyRule,
  Subject,
} from "../../generated/types/flowcontrol-v1.ts";
import { requireText } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { subdomainName } from "../../validation/names.ts";

const ALL = "*";
const VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
/** The field of each kind of subject. */
const SUBJECTS = { Group: "group", ServiceAccount: "serviceAccount", User: "user" } as const;

export function validatePolicyRule(errors: FieldErrors, path: string, rule: PolicyRulesWithSubjects): void {
  const { subjects = [], resourceRules = [], nonResourceRules = [] } = rule;
  if (subjects.length === 0) errors.required(`${path}.subjects`, "subjects must contain at least one value");
  for (const [i, subject] of subjects.entries()) validateSubject(errors, `${path}.subjects[${i}]`, subject);
  if (resourceRules.length === 0 && nonResourceRules.length === 0) {
    errors.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty");
  }
  for (const [i, one] of resourceRules.entries()) validateResourceRule(errors, `${path}.resourceRules[${i}]`, one);
  for (const [i, one] of nonResourceRules.entries()) validateUrlRule(errors, `${path}.nonResourceRules[${i}]`, one);
}

function validateSubject(errors: FieldErrors, path: string, subject: Subject): void {
  const kinds = Object.keys(SUBJECTS) as (keyof typeof SUBJECTS)[];
  const kind = kinds.find((known) => known === subject.kind);
  if (kind === undefined) {
    errors.notSupported(`${path}.kind`, subject.kind, kinds);
    return;
  }
  const field = SUBJECTS[kind];
  const named = subject[field];
  if (named === undefined) errors.required(`${path}.${field}`, `${field} is required when subject kind is '${kind}'`);
  else if (
    requireText(errors, `${path}.${field}.name`, named.name) &&
    kind === "ServiceAccount" &&
    named.name !== ALL
  ) {
    errors.invalidAll(`${path}.${field}.name`, named.name, subdomainName(named.name, false));
  }
  const namespace = subject.serviceAccount?.namespace;
  if (kind === "ServiceAccount" && named !== undefined) {
    const at = `${path}.serviceAccount.namespace`;
    if (namespace === undefined || namespace === "") {
      errors.required(at, "must specify namespace for service account");
    } else errors.invalidAll(at, namespace, isDns1123Label(namespace));
  }
  for (const [other, its] of Object.entries(SUBJECTS)) {
    if (its === field || subject[its] === undefined) continue;
    errors.forbidden(`${path}.${its}`, `${its} is forbidden when subject kind is not '${other}'`);
  }
}

/** At least one, and "*" alone; returns whether "*" is among them. */
function validateValues(
  errors: FieldErrors,
  path: string,
  values: readonly string[],
  words: { readonly none: string; readonly others: string },
): boolean {
  if (values.length === 0) errors.required(path, words.none);
  const all = values.includes(ALL);
  if (all && values.length > 1)
    errors.invalid(path, values, `if '*' is present, must not specify other ${words.others}`);
  return all;
}

function validateVerbs(errors: FieldErrors, path: string, verbs: readonly string[]): void {
  const all = validateValues(errors, path, verbs, { none: "verbs must contain at least one value", others: "verbs" });
  if (!all && !verbs.every((verb) => VERBS.includes(verb))) errors.notSupported(path, verbs, VERBS);
}

function validateResourceRule(errors: FieldErrors, path: string, rule: ResourcePolicyRule): void {
  const { verbs = [], apiGroups = [], resources = [], namespaces = [] } = rule;
  validateVerbs(errors, `${path}.verbs`, verbs);
  const groupWords = { none: "resource rules must supply at least one api group", others: "api groups" };
  validateValues(errors, `${path}.apiGroups`, apiGroups, groupWords);
  const resourceWords = { none: "resource rules must supply at least one resource", others: "resources" };
  validateValues(errors, `${path}.resources`, resources, resourceWords);
  if (namespaces.length === 0 && rule.clusterScope === true) return;
  const all = validateValues(errors, `${path}.namespaces`, namespaces, {
    none: "resource rules that are not cluster scoped must supply at least one namespace",
    others: "namespaces",
  });
  if (all) return;
  for (const [i, name] of namespaces.entries()) {
    const details = isDns1123Label(name).map(
      (why) => `each member of this list must be '*' or a DNS-1123 label; ${why}`,
    );
    errors.invalidAll(`${path}.namespaces[${i}]`, name, details);
  }
}

function validateUrlRule(errors: FieldErrors, path: string, rule: NonResourcePolicyRule): void {
  const { verbs = [], nonResourceURLs = [] } = rule;
  validateVerbs(errors, `${path}.verbs`, verbs);
  const at = `${path}.nonResourceURLs`;
  const words = { none: "nonResourceURLs must contain at least one value", others: "non-resource URLs" };
  if (validateValues(errors, at, nonResourceURLs, words)) return;
  for (const [i, url] of nonResourceURLs.entries()) {
    const why = urlComplaint(url);
    if (why !== undefined) errors.invalid(`${at}[${i}]`, url, why);
  }
}

/** Source: ValidateNonResourceURLPath */
function urlComplaint(url: string): string | undefined {
  if (url === "") return "must not be empty";
  if (url === "/") return undefined;
  if (!url.startsWith("/")) return "must start with slash";
  if (url.includes(" ")) return "must not contain white-space";
  if (url.includes("//")) return "must not contain double slash";
  const stars = url.split("*").length - 1;
  return stars > 1 || (stars === 1 && !url.endsWith("/*")) ? "wildcard can only do suffix matching" : undefined;
}
