/** Probes and lifecycle hooks. Source: core/validation validateProbe, validateHandler */
import type { Container, Lifecycle, LifecycleHandler, Probe } from "../../../generated/types/core-v1.ts";
import {
  requireText,
  validateNonNegative,
  validateOneOf,
  validatePortNumberOrName,
} from "../../../validation/common.ts";
import type { FieldErrors } from "../../../validation/field-errors.ts";
import { httpHeaderNameErrors } from "../../../validation/names.ts";

type Handler = Pick<Probe, "exec" | "httpGet" | "tcpSocket" | "grpc"> & Pick<LifecycleHandler, "sleep">;

const handlerFields = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] as const;

function validateHttpGet(errors: FieldErrors, path: string, action: NonNullable<Handler["httpGet"]>): void {
  requireText(errors, `${path}.path`, action.path);
  validatePortNumberOrName(errors, `${path}.port`, action.port);
  validateOneOf(errors, `${path}.scheme`, action.scheme, ["HTTP", "HTTPS"]);
  for (const header of action.httpHeaders ?? []) {
    errors.invalidAll(`${path}.httpHeaders`, header.name, httpHeaderNameErrors(header.name));
  }
}

function validateHandler(errors: FieldErrors, path: string, handler: Handler, graceSeconds: number | undefined): void {
  let seen = false;
  for (const field of handlerFields) {
    if (handler[field] === undefined) continue;
    if (seen) errors.forbidden(`${path}.${field}`, "may not specify more than 1 handler type");
    seen = true;
  }
  if (!seen) errors.required(path, "must specify a handler type");
  if (handler.exec !== undefined && (handler.exec.command?.length ?? 0) === 0) errors.required(`${path}.exec.command`);
  if (handler.httpGet !== undefined) validateHttpGet(errors, `${path}.httpGet`, handler.httpGet);
  if (handler.tcpSocket !== undefined) {
    validatePortNumberOrName(errors, `${path}.tcpSocket.port`, handler.tcpSocket.port);
  }
  if (handler.grpc !== undefined) validatePortNumberOrName(errors, `${path}.grpc.port`, handler.grpc.port);
  const seconds = handler.sleep?.seconds;
  if (seconds !== undefined && (seconds < 0 || seconds > (graceSeconds ?? 0))) {
    const detail = `must be non-negative and less than terminationGracePeriodSeconds (${graceSeconds ?? 0})`;
    errors.invalid(`${path}.sleep`, seconds, detail);
  }
}

function validateProbe(errors: FieldErrors, path: string, probe: Probe): void {
  validateHandler(errors, path, probe, undefined);
  validateNonNegative(errors, `${path}.initialDelaySeconds`, probe.initialDelaySeconds);
  validateNonNegative(errors, `${path}.timeoutSeconds`, probe.timeoutSeconds);
  validateNonNegative(errors, `${path}.periodSeconds`, probe.periodSeconds);
  validateNonNegative(errors, `${path}.successThreshold`, probe.successThreshold);
  validateNonNegative(errors, `${path}.failureThreshold`, probe.failureThreshold);
  const grace = probe.terminationGracePeriodSeconds;
  if (grace !== undefined && grace <= 0) {
    errors.invalid(`${path}.terminationGracePeriodSeconds`, grace, "must be greater than 0");
  }
}

function validateMustSucceedOnce(errors: FieldErrors, path: string, probe: Probe): void {
  validateProbe(errors, path, probe);
  if (probe.successThreshold !== 1)
    errors.invalid(`${path}.successThreshold`, probe.successThreshold ?? 0, "must be 1");
}

export function validateProbes(errors: FieldErrors, path: string, container: Container): void {
  const { livenessProbe, readinessProbe, startupProbe } = container;
  if (livenessProbe !== undefined) validateMustSucceedOnce(errors, `${path}.livenessProbe`, livenessProbe);
  if (readinessProbe !== undefined) {
    validateProbe(errors, `${path}.readinessProbe`, readinessProbe);
    if (readinessProbe.terminationGracePeriodSeconds !== undefined) {
      const at = `${path}.readinessProbe.terminationGracePeriodSeconds`;
      errors.invalid(at, readinessProbe.terminationGracePeriodSeconds, "must not be set for readinessProbes");
    }
  }
  if (startupProbe !== undefined) validateMustSucceedOnce(errors, `${path}.startupProbe`, startupProbe);
}

export function validateLifecycle(
  errors: FieldErrors,
  path: string,
  lifecycle: Lifecycle,
  graceSeconds: number | undefined,
): void {
  if (lifecycle.postStart !== undefined)
    validateHandler(errors, `${path}.postStart`, lifecycle.postStart, graceSeconds);
  if (lifecycle.preStop !== undefined) validateHandler(errors, `${path}.preStop`, lifecycle.preStop, graceSeconds);
}
