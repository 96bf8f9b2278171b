/** Makes a pod's sandbox: cgroup, folders, network. */
import { readFile } from "node:fs/promises";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { SandboxConfig } from "@knarr/cri/types.ts";
import { computeDnsConfig, fitDnsConfig, lacksClusterDns, parseResolvConf } from "../core/dns-config.ts";
import { sandboxConfig } from "../core/runtime-config.ts";
import { podName, type UserNamespace } from "../core/security-context.ts";
import type { PodContext } from "./pod-context.ts";
import { makePodDirectories, podLogDirectory } from "./pod-files.ts";

/** The configuration that a sandbox is made with, and that its containers are created with again. */
export async function configureSandbox(
  context: PodContext,
  pod: Pod,
  attempt: number,
  warn: (message: string) => void = () => undefined,
): Promise<SandboxConfig> {
  const { config } = context;
  const host = parseResolvConf(await readFile(config.resolvConf, "utf8").catch(() => ""));
  const wanted = computeDnsConfig({ pod, clusterDns: config.clusterDns, clusterDomain: config.clusterDomain, host });
  const dns = fitDnsConfig(wanted, warn);
  return sandboxConfig({
    pod,
    attempt,
    dns,
    clusterDomain: config.clusterDomain,
    logDirectory: podLogDirectory(config, pod),
    cgroupParent: context.cgroups?.parentOf(pod) ?? "",
    users: await usersOf(context, pod),
  });
}

/** Source: KEP-127; runtimes that know no user namespaces leave the field alone. */
async function usersOf(context: PodContext, pod: Pod): Promise<UserNamespace> {
  return pod.spec?.hostUsers === false
    ? await context.userNamespaces.optionsFor(pod.metadata.uid ?? "")
    : { mode: "NODE" };
}

/** Why nothing can be started in the pod now; shown in an event and tried again. */
export class SandboxError extends Error {
  readonly reason: string;
  constructor(reason: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** Returns the sandbox's id. Throws SandboxError with the event's reason. */
export async function startSandbox(
  context: PodContext,
  pod: Pod,
  attempt: number,
  signal: AbortSignal,
): Promise<string> {
  const notReady = context.node().networkNotReady;
  if (notReady !== undefined && pod.spec?.hostNetwork !== true) {
    throw new SandboxError("NetworkNotReady", `network is not ready: ${notReady}`);
  }
  await failAs("FailedCreatePodContainer", "unable to ensure pod container exists", async () =>
    context.cgroups?.ensurePod(pod),
  );
  await failAs("Failed", "error making pod data directories", () => makePodDirectories(context.config, pod));
  await failAs("FailedPrepareDynamicResources", "Failed to prepare dynamic resources", async () =>
    context.claims?.prepare(pod, signal),
  );
  try {
    const className = pod.spec?.runtimeClassName ?? "";
    const handler = className === "" ? "" : await context.objects.runtimeHandler(className);
    refuseUserNamespace(context, pod, handler);
    const config = await configureSandbox(context, pod, attempt, (message) =>
      context.events.pod(pod, "Warning", "DNSConfigForming", message),
    );
    if (lacksClusterDns(pod, context.config.clusterDns)) {
      const message = `pod: "${podName(pod)}". kubelet does not have ClusterDNS IP configured and cannot create Pod using "${pod.spec?.dnsPolicy ?? "ClusterFirst"}" policy. Falling back to "Default" policy.`;
      context.events.pod(pod, "Warning", "MissingClusterDNS", message);
    }
    return await context.runtime.runSandbox(config, handler, { signal });
  } catch (error) {
    if (signal.aborted) throw error;
    throw failure("FailedCreatePodSandBox", "Failed to create pod sandbox", error);
  }
}

async function failAs(reason: string, what: string, step: () => Promise<unknown>): Promise<void> {
  try {
    await step();
  } catch (error) {
    throw failure(reason, what, error);
  }
}

function failure(reason: string, what: string, error: unknown): SandboxError {
  const why = error instanceof Error ? error.message : String(error);
  return new SandboxError(reason, `${what}: ${why}`, { cause: error });
}

/** A pod that is to have users of its own must not run with the node's instead. Source: KEP-127 */
function refuseUserNamespace(context: PodContext, pod: Pod, handler: string): void {
  if (pod.spec?.hostUsers !== false) return;
  const features = context.node().handlers.get(handler);
  if (features?.userNamespaces === true) return;
  const who = handler === "" ? "runtime" : `RuntimeClass handler ${JSON.stringify(handler)}`;
  const why = features === undefined ? `: the handler ${JSON.stringify(handler)} is not known` : "";
  throw new Error(`can't set \`spec.hostUsers: false\`, ${who} does not support user namespaces${why}`);
}
