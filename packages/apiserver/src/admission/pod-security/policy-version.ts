/**
 * Levels, versions and the labels that choose them for a namespace.
 * Source: k8s.io/pod-security-admission/api
 */
import type { FieldError } from "@knarr/apimachinery/status-error.ts";

export type Level = "privileged" | "baseline" | "restricted";
const LEVELS: readonly Level[] = ["privileged", "baseline", "restricted"];

/** A minor version of policy; "latest" is newer than any. */
export type PolicyVersion = number | "latest";

export interface LevelVersion {
  readonly level: Level;
  readonly version: PolicyVersion;
}

export interface Policy {
  readonly enforce: LevelVersion;
  readonly audit: LevelVersion;
  readonly warn: LevelVersion;
}
export const MODES = ["enforce", "audit", "warn"] as const;
const LABEL = "pod-security.kubernetes.io/";

export function showPolicy({ level, version }: LevelVersion): string {
  return `${level}:${version === "latest" ? version : `v1.${version}`}`;
}

/** -1, 0, 1: `a` is less, as, more strict. */
export function compareLevels(a: Level, b: Level): number {
  return Math.sign(LEVELS.indexOf(a) - LEVELS.indexOf(b));
}

export function parseLevel(text: string): Level | undefined {
  return LEVELS.find((level) => level === text);
}

export function parseVersion(text: string): PolicyVersion | undefined {
  if (text === "latest") return "latest";
  const minor = /^v1\.(0|[1-9][0-9]*)$/.exec(text)?.[1];
  return minor === undefined ? undefined : Number(minor);
}

/**
 * The policy that a namespace's labels ask for. There is always one: what can't be read is restricted and latest where it
 * is enforced, and nothing where it only warns.
 */
export function policyOf(labels: Readonly<Record<string, string>> | undefined, defaults: Policy): ReadPolicy {
  if (labels === undefined) return { policy: defaults, errors: [] };
  let read = readPolicies.get(labels);
  if (read === undefined || read.defaults !== defaults) {
    read = { ...readPolicy(labels, defaults), defaults };
    // Labels of objects from the watch cache never change; of others nobody asks again.
    if (Object.isFrozen(labels)) readPolicies.set(labels, read);
  }
  return read;
}

interface ReadPolicy {
  readonly policy: Policy;
  readonly errors: readonly FieldError[];
}

/** Every pod that is written asks for its namespace's. */
const readPolicies = new WeakMap<object, ReadPolicy & { readonly defaults: Policy }>();

function readPolicy(labels: Readonly<Record<string, string>>, defaults: Policy): ReadPolicy {
  const errors: FieldError[] = [];
  const complain = (label: string, value: string, why: string) =>
    errors.push({
      type: "FieldValueInvalid",
      field: `metadata.labels[${label}]`,
      message: `Invalid value: ${JSON.stringify(value)}: ${why}`,
    });
  const policy: Record<(typeof MODES)[number], LevelVersion> = { ...defaults };
  for (const mode of MODES) {
    const level = labels[`${LABEL}${mode}`];
    if (level !== undefined) {
      const parsed = parseLevel(level);
      if (parsed === undefined) complain(`${LABEL}${mode}`, level, `must be one of ${LEVELS.join(", ")}`);
      policy[mode] = { ...policy[mode], level: parsed ?? (mode === "enforce" ? "restricted" : "privileged") };
    }
    const version = labels[`${LABEL}${mode}-version`];
    if (version !== undefined) {
      const parsed = parseVersion(version);
      if (parsed === undefined) complain(`${LABEL}${mode}-version`, version, 'must be "latest" or "v1.x"');
      policy[mode] = { ...policy[mode], version: parsed ?? "latest" };
    }
  }
  // Whoever creates a workload shall hear what its pods will be refused for.
  if (labels[`${LABEL}enforce`] !== undefined && labels[`${LABEL}warn`] === undefined) {
    if (compareLevels(policy.enforce.level, policy.warn.level) > 0) {
      const isVersioned = labels[`${LABEL}warn-version`] !== undefined;
      policy.warn = { ...policy.enforce, version: isVersioned ? policy.warn.version : policy.enforce.version };
    }
  }
  return { policy, errors };
}
