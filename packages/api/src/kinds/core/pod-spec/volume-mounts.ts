/** Mounts and devices of containers. Source: core/validation ValidateVolumeMounts, ValidateVolumeDevices */
import type { Container, Volume, VolumeMount } from "../../../generated/types/core-v1.ts";
import { requireText, validateDescendingPath, validateNoBacksteps, validateOneOf } from "../../../validation/common.ts";
import type { FieldErrors } from "../../../validation/field-errors.ts";

type Volumes = ReadonlyMap<string, Volume>;

function validatePropagation(errors: FieldErrors, path: string, mount: VolumeMount, container: Container): void {
  const value = mount.mountPropagation;
  if (value === undefined) return;
  validateOneOf(errors, path, value, ["Bidirectional", "HostToContainer", "None"]);
  if (value === "Bidirectional" && container.securityContext?.privileged !== true) {
    errors.forbidden(path, "Bidirectional mount propagation is available only to privileged containers");
  }
}

function validateRecursiveReadOnly(errors: FieldErrors, path: string, mount: VolumeMount): void {
  const value = mount.recursiveReadOnly;
  if (value === undefined) return;
  validateOneOf(errors, path, value, ["Disabled", "Enabled", "IfPossible"]);
  if (value === "Disabled") return;
  if (mount.readOnly !== true) errors.forbidden(path, "may only be specified when readOnly is true");
  if (mount.mountPropagation !== undefined && mount.mountPropagation !== "None") {
    errors.forbidden(path, "may only be specified when mountPropagation is None or not specified");
  }
}

function validateSubPaths(errors: FieldErrors, path: string, mount: VolumeMount): void {
  const { subPath = "", subPathExpr = "" } = mount;
  if (subPath !== "") validateDescendingPath(errors, `${path}.subPath`, subPath);
  if (subPathExpr === "") return;
  if (subPath !== "") {
    errors.invalid(`${path}.subPathExpr`, subPathExpr, "subPathExpr and subPath are mutually exclusive");
  }
  validateDescendingPath(errors, `${path}.subPathExpr`, subPathExpr);
}

export function validateVolumeMounts(errors: FieldErrors, path: string, container: Container, volumes: Volumes): void {
  const seen = new Set<string>();
  for (const [i, mount] of (container.volumeMounts ?? []).entries()) {
    const at = `${path}[${i}]`;
    if (requireText(errors, `${at}.name`, mount.name) && !volumes.has(mount.name)) {
      errors.notFound(`${at}.name`, mount.name);
    }
    requireText(errors, `${at}.mountPath`, mount.mountPath);
    if (seen.has(mount.mountPath)) errors.invalid(`${at}.mountPath`, mount.mountPath, "must be unique");
    seen.add(mount.mountPath);
    for (const device of container.volumeDevices ?? []) {
      if (device.name === mount.name)
        errors.invalid(`${at}.name`, mount.name, "must not already exist in volumeDevices");
      if (device.devicePath === mount.mountPath) {
        errors.invalid(`${at}.mountPath`, mount.mountPath, "must not already exist as a path in volumeDevices");
      }
    }
    validateSubPaths(errors, at, mount);
    validatePropagation(errors, `${at}.mountPropagation`, mount, container);
    validateRecursiveReadOnly(errors, `${at}.recursiveReadOnly`, mount);
  }
}

export function validateVolumeDevices(errors: FieldErrors, path: string, container: Container, volumes: Volumes): void {
  const names = new Set<string>();
  const paths = new Set<string>();
  for (const [i, device] of (container.volumeDevices ?? []).entries()) {
    const at = `${path}[${i}]`;
    const volume = volumes.get(device.name);
    if (requireText(errors, `${at}.name`, device.name)) {
      if (names.has(device.name)) errors.invalid(`${at}.name`, device.name, "must be unique");
      if (volume === undefined) errors.notFound(`${at}.name`, device.name);
      else if (volume.persistentVolumeClaim === undefined && volume.ephemeral === undefined) {
        const detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
        errors.invalid(`${at}.name`, device.name, detail);
      }
    }
    if (requireText(errors, `${at}.devicePath`, device.devicePath)) {
      if (paths.has(device.devicePath)) errors.invalid(`${at}.devicePath`, device.devicePath, "must be unique");
      validateNoBacksteps(errors, `${at}.devicePath`, device.devicePath);
    }
    names.add(device.name);
    paths.add(device.devicePath);
  }
}
