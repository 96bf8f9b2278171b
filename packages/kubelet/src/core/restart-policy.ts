/** Whether a container that ended is to run again. Pure. Source: KEP-753 (sidecars), KEP-5307 (container restart rules). */
import type { Container, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { ObservedContainer } from "./observed-pod.ts";

/** Init containers with restartPolicy Always run beside the pod's containers for its whole life. */
export function isSidecar(container: Container): boolean {
  return container.restartPolicy === "Always";
}

/** The rule that names this exit code, if one does. */
function ruleMatches(container: Container, exitCode: number): boolean {
  return (container.restartPolicyRules ?? []).some((rule) => {
    const values = rule.exitCodes?.values ?? [];
    if (rule.action !== "Restart" || rule.exitCodes === undefined) return false;
    return rule.exitCodes.operator === "In" ? values.includes(exitCode) : !values.includes(exitCode);
  });
}

/** For a container that exited with `exitCode`; rules first, then its own policy, then the pod's. */
export function restartsAfter(pod: Pod, container: Container, exitCode: number): boolean {
  if (ruleMatches(container, exitCode)) return true;
  switch (container.restartPolicy ?? pod.spec?.restartPolicy ?? "Always") {
    case "Never":
      return false;
    case "OnFailure":
      return exitCode !== 0;
    default:
      return true;
  }
}

/** Whether a container is to be started, given the newest one of its name. */
export function shouldRun(pod: Pod, container: Container, latest: ObservedContainer | undefined): boolean {
  if (latest === undefined || latest.state === "created" || latest.state === "unknown") return true;
  if (latest.state === "running") return false;
  return restartsAfter(pod, container, latest.exitCode);
}

/** Whether a container of the pod that failed or was killed may come back at all. */
export function restartsOnFailure(pod: Pod, container: Container): boolean {
  return restartsAfter(pod, container, 137);
}
