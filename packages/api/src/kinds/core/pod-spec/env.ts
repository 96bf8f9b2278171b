/** Environment of containers, and the selectors that downward API volumes share. Source: core/validation ValidateEnv */
import { isDns1123Subdomain } from "@knarr/apimachinery/name-validation.ts";
import { compareQuantities } from "@knarr/apimachinery/quantity.ts";
import type {
  EnvFromSource,
  EnvVar,
  EnvVarSource,
  ObjectFieldSelector,
  ResourceFieldSelector,
} from "../../../generated/types/core-v1.ts";
import { requireText, validateDescendingPath, validateQuantity } from "../../../validation/common.ts";
import type { FieldErrors } from "../../../validation/field-errors.ts";
import { configKeyErrors, envNameErrors } from "../../../validation/names.ts";

const envFields = [
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
  "spec.nodeName",
  "spec.serviceAccountName",
  "status.hostIP",
  "status.hostIPs",
  "status.podIP",
  "status.podIPs",
];
export const volumeFields = [
  "metadata.annotations",
  "metadata.labels",
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
];
const knownFields = new Set([
  ...envFields,
  ...volumeFields,
  "spec.restartPolicy",
  "status.phase",
  "spec.schedulerName",
]);

const resourceFields = [
  "limits.cpu",
  "limits.ephemeral-storage",
  "limits.memory",
  "requests.cpu",
  "requests.ephemeral-storage",
  "requests.memory",
];

/** metadata.annotations['KEY'] and metadata.labels['KEY'] */
const subscripted = /^(metadata\.(?:annotations|labels))\['(.*)'\]$/;

export function validateFieldRef(
  errors: FieldErrors,
  path: string,
  ref: ObjectFieldSelector,
  allowed: readonly string[] = envFields,
): void {
  requireText(errors, `${path}.apiVersion`, ref.apiVersion);
  if (!requireText(errors, `${path}.fieldPath`, ref.fieldPath)) return;
  if (subscripted.test(ref.fieldPath)) return;
  if (!knownFields.has(ref.fieldPath)) {
    const detail = `error converting fieldPath: field label not supported: ${ref.fieldPath}`;
    errors.invalid(`${path}.fieldPath`, ref.fieldPath, detail);
  } else if (!allowed.includes(ref.fieldPath)) errors.notSupported(`${path}.fieldPath`, ref.fieldPath, allowed);
}

const divisors: Readonly<Record<string, readonly string[]>> = {
  cpu: ["1m", "1"],
  memory: ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"],
};

export function validateResourceFieldRef(
  errors: FieldErrors,
  path: string,
  ref: ResourceFieldSelector,
  isVolume: boolean,
): void {
  if (isVolume) requireText(errors, `${path}.containerName`, ref.containerName);
  if (!requireText(errors, `${path}.resource`, ref.resource)) return;
  const isHugePages = /^(limits|requests)\.hugepages-/.test(ref.resource);
  if (!isHugePages && !resourceFields.includes(ref.resource)) {
    errors.notSupported(`${path}.resource`, ref.resource, resourceFields);
    return;
  }
  const { divisor } = ref;
  if (divisor === undefined || divisor === "0" || !validateQuantity(errors, `${path}.divisor`, divisor)) return;
  const isCpu = ref.resource.endsWith(".cpu");
  const allowed = (isCpu ? divisors.cpu : divisors.memory) ?? [];
  if (allowed.some((d) => compareQuantities(d, divisor) === 0)) return;
  const what = isCpu
    ? "only divisor's values 1m and 1 are supported with the cpu resource"
    : sizeDivisors(ref.resource);
  errors.invalid(`${path}.divisor`, ref.resource, what);
}

function sizeDivisors(resource: string): string {
  const name = resource.slice(resource.indexOf(".") + 1);
  const what = name.startsWith("hugepages-") ? "hugepages" : name === "memory" ? "memory" : "local ephemeral storage";
  return `only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the ${what} resource`;
}

function validateKeyRef(
  errors: FieldErrors,
  path: string,
  ref: { readonly name?: string | undefined; readonly key: string },
): void {
  if (requireText(errors, `${path}.name`, ref.name)) {
    errors.invalidAll(`${path}.name`, ref.name, isDns1123Subdomain(ref.name));
  }
  if (requireText(errors, `${path}.key`, ref.key)) errors.invalidAll(`${path}.key`, ref.key, configKeyErrors(ref.key));
}

function validateFileKeyRef(errors: FieldErrors, path: string, ref: NonNullable<EnvVarSource["fileKeyRef"]>): void {
  requireText(errors, `${path}.volumeName`, ref.volumeName);
  if (requireText(errors, `${path}.path`, ref.path)) validateDescendingPath(errors, `${path}.path`, ref.path);
  if (requireText(errors, `${path}.key`, ref.key)) errors.invalidAll(`${path}.key`, ref.key, envNameErrors(ref.key));
}

function validateValueFrom(errors: FieldErrors, path: string, variable: EnvVar): void {
  const source = variable.valueFrom;
  if (source === undefined) return;
  if (source.fieldRef !== undefined) validateFieldRef(errors, `${path}.fieldRef`, source.fieldRef);
  if (source.resourceFieldRef !== undefined) {
    validateResourceFieldRef(errors, `${path}.resourceFieldRef`, source.resourceFieldRef, false);
  }
  if (source.configMapKeyRef !== undefined) validateKeyRef(errors, `${path}.configMapKeyRef`, source.configMapKeyRef);
  if (source.secretKeyRef !== undefined) validateKeyRef(errors, `${path}.secretKeyRef`, source.secretKeyRef);
  if (source.fileKeyRef !== undefined) validateFileKeyRef(errors, `${path}.fileKeyRef`, source.fileKeyRef);
  const sources = Object.keys(source).length;
  if ((variable.value ?? "") !== "" && sources > 0) {
    errors.invalid(path, "", "may not be specified when `value` is not empty");
  } else if (sources > 1) errors.invalid(path, "", "may not have more than one field specified at a time");
  else if (sources === 0) {
    const names = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
    errors.invalid(path, "", `must specify one of: ${names}`);
  }
}

export function validateEnv(errors: FieldErrors, path: string, env: readonly EnvVar[] | undefined): void {
  for (const [i, variable] of (env ?? []).entries()) {
    const at = `${path}[${i}]`;
    if (requireText(errors, `${at}.name`, variable.name)) {
      errors.invalidAll(`${at}.name`, variable.name, envNameErrors(variable.name));
    }
    validateValueFrom(errors, `${at}.valueFrom`, variable);
  }
}

export function validateEnvFrom(
  errors: FieldErrors,
  path: string,
  sources: readonly EnvFromSource[] | undefined,
): void {
  for (const [i, source] of (sources ?? []).entries()) {
    const at = `${path}[${i}]`;
    if ((source.prefix ?? "") !== "") {
      errors.invalidAll(`${at}.prefix`, source.prefix, envNameErrors(source.prefix ?? ""));
    }
    for (const kind of ["configMapRef", "secretRef"] as const) {
      const ref = source[kind];
      if (ref !== undefined && requireText(errors, `${at}.${kind}.name`, ref.name)) {
        errors.invalidAll(`${at}.${kind}.name`, ref.name, isDns1123Subdomain(ref.name));
      }
    }
    if (source.configMapRef !== undefined && source.secretRef !== undefined) {
      errors.invalid(path, "", "may not have more than one field specified at a time");
    } else if (source.configMapRef === undefined && source.secretRef === undefined) {
      errors.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`");
    }
  }
}
