/** Containers of all three kinds. Source: core/validation validateContainers, validateInitContainers, validateEphemeralContainers */
import { isDns1123Label } from "@knarr/apimachinery/name-validation.ts";
import type {
  Container,
  ContainerPort,
  EphemeralContainer,
  PodSpec,
  Volume,
} from "../../../generated/types/core-v1.ts";
import { protocols, requireText, validateOneOf, validateRequiredOneOf } from "../../../validation/common.ts";
import type { FieldErrors } from "../../../validation/field-errors.ts";
import { portNameErrors, portNumberErrors } from "../../../validation/names.ts";
import { validateEnv, validateEnvFrom } from "./env.ts";
import { validateLifecycle, validateProbes } from "./probes.ts";
import { validateResizePolicies, validateResources } from "./resources.ts";
import { validateSecurityContext } from "./security.ts";
import { validateVolumeDevices, validateVolumeMounts } from "./volume-mounts.ts";

/** What containers are judged against. */
export interface PodContext {
  readonly spec: PodSpec;
  readonly volumes: ReadonlyMap<string, Volume>;
  /** Names in spec.resourceClaims. */
  readonly claims: Set<string>;
}

function validatePorts(errors: FieldErrors, path: string, ports: readonly ContainerPort[] | undefined): void {
  const names = new Set<string>();
  for (const [i, port] of (ports ?? []).entries()) {
    const at = `${path}[${i}]`;
    const name = port.name ?? "";
    if (name !== "") {
      const problems = portNameErrors(name);
      errors.invalidAll(`${at}.name`, name, problems);
      if (problems.length === 0 && names.has(name)) errors.duplicate(`${at}.name`, name);
      names.add(name);
    }
    if ((port.containerPort ?? 0) === 0) errors.required(`${at}.containerPort`);
    else errors.invalidAll(`${at}.containerPort`, port.containerPort, portNumberErrors(port.containerPort));
    if ((port.hostPort ?? 0) !== 0) {
      errors.invalidAll(`${at}.hostPort`, port.hostPort, portNumberErrors(port.hostPort ?? 0));
    }
    validateRequiredOneOf(errors, `${at}.protocol`, port.protocol, protocols);
  }
}

/** With host networking a container port must be the host port. */
function validateHostNetworkPorts(
  errors: FieldErrors,
  path: string,
  ports: readonly ContainerPort[] | undefined,
): void {
  for (const [i, port] of (ports ?? []).entries()) {
    if (port.hostPort !== port.containerPort) {
      errors.invalid(
        `${path}[${i}].containerPort`,
        port.containerPort,
        "must match `hostPort` when `hostNetwork` is true",
      );
    }
  }
}

function validateImage(errors: FieldErrors, path: string, image: string | undefined): void {
  if (!requireText(errors, path, image)) return;
  if (image.trim() !== image) errors.invalid(path, image, "must not have leading or trailing whitespace");
}

function validateCommon(
  errors: FieldErrors,
  path: string,
  container: Container | EphemeralContainer,
  context: PodContext,
): void {
  if (requireText(errors, `${path}.name`, container.name)) {
    errors.invalidAll(`${path}.name`, container.name, isDns1123Label(container.name));
  }
  validateImage(errors, `${path}.image`, container.image);
  validateRequiredOneOf(errors, `${path}.terminationMessagePolicy`, container.terminationMessagePolicy, [
    "FallbackToLogsOnError",
    "File",
  ]);
  validatePorts(errors, `${path}.ports`, container.ports);
  if (context.spec.hostNetwork === true) validateHostNetworkPorts(errors, `${path}.ports`, container.ports);
  validateEnv(errors, `${path}.env`, container.env);
  validateEnvFrom(errors, `${path}.envFrom`, container.envFrom);
  validateVolumeMounts(errors, `${path}.volumeMounts`, container, context.volumes);
  validateVolumeDevices(errors, `${path}.volumeDevices`, container, context.volumes);
  validateRequiredOneOf(errors, `${path}.imagePullPolicy`, container.imagePullPolicy, [
    "Always",
    "IfNotPresent",
    "Never",
  ]);
  validateResources(errors, `${path}.resources`, container.resources, context.claims);
  validateResizePolicies(errors, `${path}.resizePolicy`, container.resizePolicy, context.spec.restartPolicy);
  validateSecurityContext(
    errors,
    `${path}.securityContext`,
    container.securityContext,
    context.spec.hostUsers !== false,
  );
}

function validateRestartRules(errors: FieldErrors, path: string, container: Container): void {
  const rules = container.restartPolicyRules ?? [];
  if (rules.length > 0 && container.restartPolicy === undefined) {
    errors.required(`${path}.restartPolicy`, "must specify restartPolicy when restart rules are used");
  }
  if (rules.length > 20) errors.tooMany(`${path}.restartPolicyRules`, rules.length, 20);
  for (const [i, rule] of rules.entries()) {
    const at = `${path}.restartPolicyRules[${i}]`;
    validateRequiredOneOf(errors, `${at}.action`, rule.action, ["Restart", "RestartAllContainers"]);
    if (rule.exitCodes === undefined) errors.required(`${at}.exitCodes`, "must be specified");
    else validateRequiredOneOf(errors, `${at}.exitCodes.operator`, rule.exitCodes.operator, ["In", "NotIn"]);
  }
}

/** Host ports must be free within the pod; `taken` collects those seen so far. */
function validateHostPorts(errors: FieldErrors, path: string, container: Container, taken: Set<string>): void {
  for (const [i, port] of (container.ports ?? []).entries()) {
    if ((port.hostPort ?? 0) === 0) continue;
    const key = `${port.protocol}/${port.hostIP ?? ""}/${port.hostPort}`;
    if (taken.has(key)) errors.duplicate(`${path}.ports[${i}].hostPort`, key);
    taken.add(key);
  }
}

export function validateContainers(errors: FieldErrors, path: string, context: PodContext): void {
  const { containers = [] } = context.spec;
  if (containers.length === 0) errors.required(path);
  const names = new Set<string>();
  const hostPorts = new Set<string>();
  for (const [i, container] of containers.entries()) {
    const at = `${path}[${i}]`;
    validateCommon(errors, at, container, context);
    if (names.has(container.name)) errors.duplicate(`${at}.name`, container.name);
    names.add(container.name);
    if (container.lifecycle !== undefined) {
      validateLifecycle(errors, `${at}.lifecycle`, container.lifecycle, context.spec.terminationGracePeriodSeconds);
    }
    validateProbes(errors, at, container);
    if (container.restartPolicy !== undefined) {
      validateOneOf(errors, `${at}.restartPolicy`, container.restartPolicy, ["Always", "Never", "OnFailure"]);
    }
    validateRestartRules(errors, at, container);
    validateHostPorts(errors, at, container, hostPorts);
  }
}

const sidecarOnly = ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] as const;

export function validateInitContainers(errors: FieldErrors, path: string, context: PodContext): void {
  const names = new Set(context.spec.containers?.map((c) => c.name));
  const containers = context.spec.initContainers ?? [];
  for (const [i, container] of containers.entries()) {
    const at = `${path}[${i}]`;
    const isSidecar = container.restartPolicy === "Always";
    validateCommon(errors, at, container, context);
    if (container.restartPolicy !== undefined) {
      validateOneOf(errors, `${at}.restartPolicy`, container.restartPolicy, ["Always", "Never", "OnFailure"]);
    }
    validateRestartRules(errors, at, container);
    // They run one after the other: only one's own ports can clash.
    validateHostPorts(errors, at, container, new Set());
    if (container.name !== "" && names.has(container.name)) errors.duplicate(`${at}.name`, container.name);
    names.add(container.name);
    if (isSidecar) {
      if (container.lifecycle !== undefined) {
        validateLifecycle(errors, `${at}.lifecycle`, container.lifecycle, context.spec.terminationGracePeriodSeconds);
      }
      validateProbes(errors, at, container);
      continue;
    }
    for (const field of sidecarOnly) {
      if (container[field] === undefined) continue;
      errors.forbidden(`${at}.${field}`, "may not be set for init containers without restartPolicy=Always");
    }
  }
}

const notEphemeral = [
  "ports",
  "livenessProbe",
  "readinessProbe",
  "startupProbe",
  "lifecycle",
  "resizePolicy",
  "restartPolicy",
  "restartPolicyRules",
] as const;

export function validateEphemeralContainers(errors: FieldErrors, path: string, context: PodContext): void {
  const { spec } = context;
  const targets = new Set([...(spec.containers ?? []), ...(spec.initContainers ?? [])].map((c) => c.name));
  const names = new Set(targets);
  for (const [i, container] of (spec.ephemeralContainers ?? []).entries()) {
    const at = `${path}[${i}]`;
    validateCommon(errors, at, container, context);
    if (container.name !== "" && names.has(container.name)) errors.duplicate(`${at}.name`, container.name);
    names.add(container.name);
    const target = container.targetContainerName ?? "";
    if (target !== "" && !targets.has(target)) errors.notFound(`${at}.targetContainerName`, target);
    for (const field of notEphemeral) {
      if (container[field] !== undefined)
        errors.forbidden(`${at}.${field}`, "cannot be set for an Ephemeral Container");
    }
    const { limits, requests } = container.resources ?? {};
    if (Object.keys({ ...limits, ...requests }).length > 0) {
      errors.forbidden(`${at}.resources`, "cannot be set for an Ephemeral Container");
    }
    for (const [j, mount] of (container.volumeMounts ?? []).entries()) {
      const fields = (["subPath", "subPathExpr"] as const).filter((field) => (mount[field] ?? "") !== "");
      for (const field of fields) {
        errors.forbidden(`${at}.volumeMounts[${j}].${field}`, "cannot be set for an Ephemeral Container");
      }
    }
  }
}
