/** The part of GET /metrics that tells what there is now: this node, its pods and containers. Source: pkg/kubelet/metrics */
import { arch } from "node:os";
import { isStaticPod } from "../core/critical-pod.ts";
import { KUBELET_VERSION } from "../node/node-object.ts";
import { MetricFamily, renderFamilies } from "./prometheus-text.ts";
import type { Serving } from "./serving.ts";

export function runningMetrics({ config, relist, pods }: Serving): string {
  const families: MetricFamily[] = [];
  const gauge = (name: string, help: string) => {
    const family = new MetricFamily(name, "gauge", help);
    families.push(family);
    return family;
  };
  gauge("kubelet_node_name", "[ALPHA] The node's name. The count is always 1.").add({ node: config.nodeName }, 1);
  gauge(
    "kubernetes_build_info",
    "[ALPHA] A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, build date, Go version, and compiler from which Kubernetes was built, and platform on which it is running.",
  ).add(buildInfo(), 1);
  const { containers = [], sandboxes = [] } = relist.snapshot ?? {};
  const ready = new Set(sandboxes.filter((s) => s.state === "ready").map((s) => s.id));
  gauge("kubelet_running_pods", "[BETA] Number of pods that have a running pod sandbox").add({}, ready.size);
  const running = gauge("kubelet_running_containers", "[BETA] Number of containers currently running");
  for (const state of ["exited", "running"]) {
    running.add({ container_state: state }, containers.filter((c) => c.state === state).length);
  }
  const workers = pods.list();
  const from = "static is true if the pod is not from the apiserver.";
  const desired = gauge(
    "kubelet_desired_pods",
    `[ALPHA] The number of pods the kubelet is being instructed to run. ${from}`,
  );
  const active = gauge(
    "kubelet_active_pods",
    `[ALPHA] The number of pods the kubelet considers active and which are being considered when admitting new pods. ${from}`,
  );
  for (const isStatic of [false, true]) {
    const own = workers.filter(({ pod }) => isStaticPod(pod) === isStatic);
    const labels = { static: isStatic ? "true" : "" };
    desired.add(labels, own.length);
    active.add(labels, own.filter((w) => w.holdsResources).length);
  }
  gauge(
    "kubelet_mirror_pods",
    "[ALPHA] The number of mirror pods the kubelet will try to create (one per admitted static pod)",
  ).add({}, workers.filter(({ pod }) => isStaticPod(pod)).length);
  gauge(
    "kubelet_managed_ephemeral_containers",
    "[ALPHA] Current number of ephemeral containers in pods managed by this kubelet.",
  ).add(
    {},
    workers.reduce((sum, { pod }) => sum + (pod.spec?.ephemeralContainers?.length ?? 0), 0),
  );
  return renderFamilies(families);
}

/** What Go's build stamps in is not there in a program that is not built. */
function buildInfo(): Record<string, string> {
  const [major = "", minor = ""] = KUBELET_VERSION.slice(1).split(".");
  const platform = `linux/${arch() === "x64" ? "amd64" : arch()}`;
  const unknown = { git_commit: "", git_tree_state: "", build_date: "", go_version: "", compiler: "" };
  return { ...unknown, major, minor, git_version: KUBELET_VERSION, platform };
}
