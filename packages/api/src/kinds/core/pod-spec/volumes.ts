/** Volumes of pods. Source: core/validation ValidateVolumes */
import { isDns1123Label, isDns1123Subdomain } from "@knarr/apimachinery/name-validation.ts";
import type { KeyToPath, Volume, VolumeProjection } from "../../../generated/types/core-v1.ts";
import {
  requireText,
  validateFileMode,
  validateFilePath,
  validateNoBacksteps,
  validateOneOf,
  validateQuantity,
} from "../../../validation/common.ts";
import type { FieldErrors } from "../../../validation/field-errors.ts";
import { validateClaimSpec } from "../volume-claims.ts";
import { validateFieldRef, validateResourceFieldRef, volumeFields } from "./env.ts";
import { validateLegacySource } from "./volume-sources.ts";

type DownwardItem = NonNullable<NonNullable<Volume["downwardAPI"]>["items"]>[number];

export const hostPathTypes = [
  "",
  "BlockDevice",
  "CharDevice",
  "Directory",
  "DirectoryOrCreate",
  "File",
  "FileOrCreate",
  "Socket",
];

function validateKeys(errors: FieldErrors, path: string, items: readonly KeyToPath[] | undefined): void {
  for (const [i, item] of (items ?? []).entries()) {
    const at = `${path}[${i}]`;
    requireText(errors, `${at}.key`, item.key);
    if (requireText(errors, `${at}.path`, item.path)) validateFilePath(errors, `${at}.path`, item.path);
    validateFileMode(errors, `${at}.mode`, item.mode);
  }
}

function validateDownwardItems(errors: FieldErrors, path: string, items: readonly DownwardItem[] | undefined): void {
  for (const item of items ?? []) {
    if (requireText(errors, `${path}.path`, item.path)) validateFilePath(errors, `${path}.path`, item.path);
    if (item.fieldRef !== undefined) {
      validateFieldRef(errors, `${path}.fieldRef`, item.fieldRef, volumeFields);
      if (item.resourceFieldRef !== undefined) {
        errors.invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
      }
    } else if (item.resourceFieldRef !== undefined) {
      validateResourceFieldRef(errors, `${path}.resourceFieldRef`, item.resourceFieldRef, true);
    } else errors.required(`${path}.fieldRef`, "one of fieldRef and resourceFieldRef is required");
    validateFileMode(errors, `${path}.mode`, item.mode);
  }
}

/** Paths must not collide among the sources of one projected volume. */
class ProjectedPaths {
  readonly #errors: FieldErrors;
  readonly #path: string;
  readonly #seen = new Set<string>();

  constructor(errors: FieldErrors, path: string) {
    this.#errors = errors;
    this.#path = path;
  }

  add(path: string | undefined, owner: string): void {
    if (path === undefined || path === "") return;
    if (this.#seen.has(path)) this.#errors.invalid(this.#path, owner, `conflicting duplicate paths: ${path}`);
    this.#seen.add(path);
  }
}

function validateToken(
  errors: FieldErrors,
  path: string,
  token: NonNullable<VolumeProjection["serviceAccountToken"]>,
): void {
  const seconds = token.expirationSeconds ?? 3600;
  if (seconds < 600)
    errors.invalid(`${path}.expirationSeconds`, seconds, "may not specify a duration less than 10 minutes");
  if (seconds > 2 ** 32)
    errors.invalid(`${path}.expirationSeconds`, seconds, "may not specify a duration larger than 2^32 seconds");
  if (requireText(errors, `${path}.path`, token.path)) validateFilePath(errors, `${path}.path`, token.path);
}

/** By name, or all of a signer that the selector finds. */
function validateTrustBundle(
  errors: FieldErrors,
  path: string,
  bundle: NonNullable<VolumeProjection["clusterTrustBundle"]>,
): void {
  const { name, signerName, labelSelector } = bundle;
  if (name !== undefined && signerName !== undefined) {
    errors.invalid(path, bundle, "only one of name and signerName may be used");
  } else if (name !== undefined) {
    requireText(errors, `${path}.name`, name, "must be a valid object name");
    if (labelSelector !== undefined) {
      errors.invalid(`${path}.labelSelector`, labelSelector, "labelSelector must be unset if name is specified");
    }
  } else if (signerName !== undefined) {
    requireText(errors, `${path}.signerName`, signerName, "must be a valid signer name");
  } else errors.required(path, "either name or signerName must be specified");
}

const projections = [
  "secret",
  "configMap",
  "downwardAPI",
  "serviceAccountToken",
  "clusterTrustBundle",
  "podCertificate",
] as const;

function validateProjection(errors: FieldErrors, path: string, source: VolumeProjection, paths: ProjectedPaths): void {
  const set = projections.filter((kind) => source[kind] !== undefined);
  for (const kind of set.slice(1)) errors.forbidden(`${path}.${kind}`, "may not specify more than 1 volume type");
  for (const kind of ["secret", "configMap"] as const) {
    const projection = source[kind];
    if (projection === undefined) continue;
    requireText(errors, `${path}.${kind}.name`, projection.name);
    validateKeys(errors, `${path}.${kind}.items`, projection.items);
    for (const item of projection.items ?? []) paths.add(item.path, projection.name ?? "");
  }
  if (source.downwardAPI !== undefined) {
    validateDownwardItems(errors, `${path}.downwardAPI`, source.downwardAPI.items);
    for (const item of source.downwardAPI.items ?? []) paths.add(item.path, "downwardAPI");
  }
  if (source.serviceAccountToken !== undefined) {
    validateToken(errors, `${path}.serviceAccountToken`, source.serviceAccountToken);
    paths.add(source.serviceAccountToken.path, "serviceAccountToken");
  }
  if (source.clusterTrustBundle !== undefined) {
    validateTrustBundle(errors, `${path}.clusterTrustBundle`, source.clusterTrustBundle);
    const { path: file } = source.clusterTrustBundle;
    if (requireText(errors, `${path}.clusterTrustBundle.path`, file)) {
      validateFilePath(errors, `${path}.clusterTrustBundle.path`, file);
    }
    paths.add(file, "clusterTrustBundle");
  }
}

function validateProjected(errors: FieldErrors, path: string, projected: NonNullable<Volume["projected"]>): void {
  validateFileMode(errors, `${path}.defaultMode`, projected.defaultMode);
  const paths = new ProjectedPaths(errors, path);
  for (const [i, source] of (projected.sources ?? []).entries()) {
    validateProjection(errors, `${path}.sources[${i}]`, source, paths);
  }
}

type Check<K extends keyof Volume> = (errors: FieldErrors, path: string, source: NonNullable<Volume[K]>) => void;

/** The sources that every node serves. */
const checks: { readonly [K in keyof Volume]?: Check<K> } = {
  emptyDir(errors, path, source) {
    if (source.sizeLimit !== undefined) validateQuantity(errors, `${path}.sizeLimit`, source.sizeLimit);
  },
  hostPath(errors, path, source) {
    if (requireText(errors, `${path}.path`, source.path)) validateNoBacksteps(errors, `${path}.path`, source.path);
    validateOneOf(errors, `${path}.type`, source.type, hostPathTypes);
  },
  secret(errors, path, source) {
    requireText(errors, `${path}.secretName`, source.secretName);
    validateFileMode(errors, `${path}.defaultMode`, source.defaultMode);
    validateKeys(errors, `${path}.items`, source.items);
  },
  configMap(errors, path, source) {
    requireText(errors, `${path}.name`, source.name);
    validateFileMode(errors, `${path}.defaultMode`, source.defaultMode);
    validateKeys(errors, `${path}.items`, source.items);
  },
  downwardAPI(errors, path, source) {
    validateFileMode(errors, `${path}.defaultMode`, source.defaultMode);
    validateDownwardItems(errors, path, source.items);
  },
  projected: validateProjected,
  persistentVolumeClaim(errors, path, source) {
    requireText(errors, `${path}.claimName`, source.claimName);
  },
  nfs(errors, path, source) {
    requireText(errors, `${path}.server`, source.server);
    if (!requireText(errors, `${path}.path`, source.path)) return;
    if (!source.path.startsWith("/")) errors.invalid(`${path}.path`, source.path, "must be an absolute path");
  },
  csi(errors, path, source) {
    if (requireText(errors, `${path}.driver`, source.driver)) {
      errors.invalidAll(`${path}.driver`, source.driver, isDns1123Subdomain(source.driver.toLowerCase()));
    }
    if (source.nodePublishSecretRef !== undefined) {
      requireText(errors, `${path}.nodePublishSecretRef.name`, source.nodePublishSecretRef.name);
    }
  },
  ephemeral(errors, path, source) {
    const template = source.volumeClaimTemplate;
    if (template === undefined) errors.required(`${path}.volumeClaimTemplate`);
    else validateClaimSpec(errors, `${path}.volumeClaimTemplate.spec`, template.spec);
  },
  image(errors, path, source) {
    requireText(errors, `${path}.reference`, source.reference);
    validateOneOf(errors, `${path}.pullPolicy`, source.pullPolicy, ["Always", "IfNotPresent", "Never"]);
  },
};

function validateSource(errors: FieldErrors, path: string, volume: Volume): void {
  const kinds = Object.keys(volume).filter((key) => key !== "name") as (keyof Volume)[];
  if (kinds.length === 0) errors.required(path, "must specify a volume type");
  for (const [i, kind] of kinds.entries()) {
    const at = `${path}.${kind}`;
    if (i > 0) {
      errors.forbidden(at, "may not specify more than 1 volume type");
      continue;
    }
    const check = checks[kind] as Check<"emptyDir"> | undefined;
    if (check !== undefined) check(errors, at, volume[kind] as NonNullable<Volume["emptyDir"]>);
    else validateLegacySource(errors, at, kind, volume);
  }
}

/** Returns the volumes by name. */
export function validateVolumes(
  errors: FieldErrors,
  path: string,
  volumes: readonly Volume[] | undefined,
): ReadonlyMap<string, Volume> {
  const byName = new Map<string, Volume>();
  for (const [i, volume] of (volumes ?? []).entries()) {
    const at = `${path}[${i}]`;
    validateSource(errors, at, volume);
    if (!requireText(errors, `${at}.name`, volume.name)) continue;
    errors.invalidAll(`${at}.name`, volume.name, isDns1123Label(volume.name));
    if (byName.has(volume.name)) errors.duplicate(`${at}.name`, volume.name);
    byName.set(volume.name, volume);
  }
  return byName;
}
