/**
 * A pod against a level and a version of the Pod Security Standards. Pure.
 * Source: k8s.io/pod-security-admission/policy/registry.go
 */
import { baselineChecks } from "./checks/baseline.ts";
import type { Check, PodLike, Violation } from "./checks/check.ts";
import { restrictedChecks } from "./checks/restricted.ts";
import type { LevelVersion } from "./policy-version.ts";

/** What the pod violates, baseline checks first; [] when it is allowed. */
export function evaluatePod({ level, version }: LevelVersion, pod: PodLike): Violation[] {
  if (level === "privileged") return [];
  const inForce = (checks: readonly Check[]) =>
    checks.flatMap((check) => {
      const find = check.versions.findLast(({ since }) => version === "latest" || since <= version)?.find;
      return find === undefined ? [] : [{ check, find }];
    });
  const restricted = level === "restricted" ? inForce(restrictedChecks) : [];
  const replaced = new Set(restricted.flatMap(({ check }) => check.overrides ?? []));
  const baseline = inForce(baselineChecks).filter(({ check }) => !replaced.has(check.id));
  return [...baseline, ...restricted].flatMap(({ find }) => find(pod) ?? []);
}

/** `reason (detail), reason (detail)`. */
export function showViolations(violations: readonly Violation[]): string {
  return violations.map(({ reason, detail }) => (detail === "" ? reason : `${reason} (${detail})`)).join(", ");
}

/** `reason, reason`. */
export function showReasons(violations: readonly Violation[]): string {
  return violations.map(({ reason }) => reason).join(", ");
}
