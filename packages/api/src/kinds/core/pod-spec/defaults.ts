/**
 * Defaults of pod specs and pod templates. A template gets the same defaults in a Deployment, a ReplicaSet and everywhere else, byte
 * for byte; what only a Pod gets is in pod-defaults.ts.
 * Source: k8s.io/kubernetes/pkg/apis/core/v1/defaults.go
 */
import type {
  Container,
  EnvVar,
  EphemeralContainer,
  Lifecycle,
  PodSpec,
  PodTemplateSpec,
  Probe,
} from "../../../generated/types/core-v1.ts";
import { roundResources } from "../resource-list.ts";
import { defaultVolume } from "./volume-defaults.ts";

/** "latest" unless the reference has another tag or a digest. Source: pkg/util/parsers ParseImageName */
function pullPolicyFor(image: string): "Always" | "IfNotPresent" {
  if (image === "" || image.includes("@")) return "IfNotPresent";
  const afterSlash = image.slice(image.lastIndexOf("/") + 1);
  const colon = afterSlash.indexOf(":");
  return colon < 0 || afterSlash.slice(colon + 1) === "latest" ? "Always" : "IfNotPresent";
}

function defaultProbe(probe: Probe | undefined): void {
  if (probe === undefined) return;
  probe.timeoutSeconds ||= 1;
  probe.periodSeconds ||= 10;
  probe.successThreshold ||= 1;
  probe.failureThreshold ||= 3;
  defaultHttpGet(probe.httpGet);
  if (probe.grpc !== undefined) probe.grpc.service ??= "";
}

function defaultHttpGet(action: { path?: string | undefined; scheme?: string | undefined } | undefined): void {
  if (action === undefined) return;
  action.path ||= "/";
  action.scheme ||= "HTTP";
}

function defaultLifecycle(lifecycle: Lifecycle | undefined): void {
  defaultHttpGet(lifecycle?.postStart?.httpGet);
  defaultHttpGet(lifecycle?.preStop?.httpGet);
}

function defaultEnv(env: readonly EnvVar[] | undefined): void {
  for (const variable of env ?? []) {
    const field = variable.valueFrom?.fieldRef;
    if (field !== undefined) field.apiVersion ||= "v1";
    const file = variable.valueFrom?.fileKeyRef;
    if (file !== undefined) file.optional ??= false;
  }
}

function defaultContainer(container: Container | EphemeralContainer): void {
  container.imagePullPolicy ||= pullPolicyFor(container.image ?? "");
  container.terminationMessagePath ||= "/dev/termination-log";
  container.terminationMessagePolicy ||= "File";
  for (const port of container.ports ?? []) port.protocol ||= "TCP";
  defaultEnv(container.env);
  roundResources(container.resources?.limits);
  roundResources(container.resources?.requests);
  defaultProbe(container.livenessProbe);
  defaultProbe(container.readinessProbe);
  defaultProbe(container.startupProbe);
  defaultLifecycle(container.lifecycle);
}

/** Mutates. */
export function defaultPodSpec(spec: PodSpec): void {
  spec.dnsPolicy ||= "ClusterFirst";
  spec.restartPolicy ||= "Always";
  spec.securityContext ??= {};
  spec.terminationGracePeriodSeconds ??= 30;
  spec.schedulerName ||= "default-scheduler";
  // serviceAccount is the deprecated twin of serviceAccountName; upstream's conversion keeps both the same.
  const account = spec.serviceAccountName || spec.serviceAccount;
  if (account !== undefined && account !== "") {
    spec.serviceAccountName = account;
    spec.serviceAccount = account;
  }
  for (const volume of spec.volumes ?? []) defaultVolume(volume);
  for (const container of spec.initContainers ?? []) defaultContainer(container);
  for (const container of spec.containers ?? []) defaultContainer(container);
  for (const container of spec.ephemeralContainers ?? []) defaultContainer(container);
  roundResources(spec.overhead);
  roundResources(spec.resources?.limits);
  roundResources(spec.resources?.requests);
}

/** Mutates. */
export function defaultPodTemplate(template: PodTemplateSpec | undefined): void {
  if (template === undefined) return;
  template.spec ??= { containers: [] };
  defaultPodSpec(template.spec);
}
