/**
 * One PolicyRule, made ready for many questions, and whether it allows one.
 * Source: k8s.io/component-helpers/auth/rbac/validation and k8s.io/kubernetes/pkg/apis/rbac/v1/evaluation_helpers.go
 */
import type { PolicyRule } from "@knarr/api/generated/types/rbac-v1.ts";
import type { AuthorizerAttributes } from "./types.ts";

const ALL = "*";

export class CompiledRule {
  readonly source: PolicyRule;
  /** undefined: all. */
  readonly #verbs: ReadonlySet<string> | undefined;
  readonly #groups: ReadonlySet<string> | undefined;
  readonly #resources: ReadonlySet<string> | undefined;
  /** undefined: any name. */
  readonly #names: ReadonlySet<string> | undefined;
  readonly #paths: readonly string[];

  constructor(rule: PolicyRule) {
    this.source = rule;
    this.#verbs = setOf(rule.verbs);
    this.#groups = setOf(rule.apiGroups);
    this.#resources = setOf(rule.resources);
    this.#names = (rule.resourceNames ?? []).length === 0 ? undefined : new Set(rule.resourceNames);
    this.#paths = rule.nonResourceURLs ?? [];
  }

  allows(attributes: AuthorizerAttributes): boolean {
    if (this.#verbs !== undefined && !this.#verbs.has(attributes.verb)) return false;
    if (attributes.kind === "nonResource") return this.#paths.some((pattern) => pathMatches(pattern, attributes.path));
    if (this.#groups !== undefined && !this.#groups.has(attributes.apiGroup)) return false;
    if (!this.#resourceMatches(attributes.resource, attributes.subresource)) return false;
    return this.#names === undefined || this.#names.has(attributes.name);
  }

  #resourceMatches(resource: string, subresource: string): boolean {
    const resources = this.#resources;
    if (resources === undefined) return true;
    if (subresource === "") return resources.has(resource);
    return resources.has(`${resource}/${subresource}`) || resources.has(`*/${subresource}`);
  }
}

export function compileRules(rules: readonly PolicyRule[] | undefined): readonly CompiledRule[] {
  return (rules ?? []).map((rule) => new CompiledRule(rule));
}

/** "/healthz", or a prefix such as "/healthz/*". */
export function pathMatches(pattern: string, path: string): boolean {
  if (pattern === ALL || pattern === path) return true;
  return pattern.endsWith(ALL) && path.startsWith(pattern.replace(/\*+$/, ""));
}

function setOf(values: readonly string[] | undefined): ReadonlySet<string> | undefined {
  if (values?.includes(ALL) === true) return undefined;
  return new Set(values);
}
