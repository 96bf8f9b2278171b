/** Whether a container that ended is to run again. Pure. Source: KEP-753 (sidecars), KEP-5307 (container restart rules). */
import type { Container, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { latestOf, type ObservedContainer, type ObservedPod } from "./observed-pod.ts";

/** Init containers with restartPolicy Always run beside the pod's containers for its whole life. */
export function isSidecar(container: Container): boolean {
  return container.restartPolicy === "Always";
}

/** The action of the first rule that names this exit code. */
function ruleAction(container: Container, exitCode: number): "Restart" | "RestartAllContainers" | undefined {
  const rule = (container.restartPolicyRules ?? []).find(({ action, exitCodes }) => {
    if ((action !== "Restart" && action !== "RestartAllContainers") || exitCodes === undefined) return false;
    const named = exitCodes.values?.includes(exitCode) ?? false;
    return exitCodes.operator === "In" ? named : !named;
  });
  return rule?.action as ReturnType<typeof ruleAction>;
}

function stepsOf(pod: Pod): Container[] {
  return [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
}

/** Whether an end of one of its containers may start the whole pod again. */
export function mayRestartAll(pod: Pod): boolean {
  return stepsOf(pod).some((c) => c.restartPolicyRules?.some((r) => r.action === "RestartAllContainers"));
}

/** The container whose end has the whole pod start again in its sandbox, init containers and all. Source: KEP-5532 */
export function restartTrigger(pod: Pod, observed: ObservedPod, sandboxId: string | undefined): string | undefined {
  return stepsOf(pod).find((container) => {
    const latest = latestOf(observed, container.name);
    if (latest?.state !== "exited" || latest.sandboxId !== sandboxId) return false;
    return ruleAction(container, latest.exitCode) === "RestartAllContainers";
  })?.name;
}

/** For a container that exited with `exitCode`; rules first, then its own policy, then the pod's. */
export function restartsAfter(pod: Pod, container: Container, exitCode: number): boolean {
  if (ruleAction(container, exitCode) !== undefined) return true;
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
