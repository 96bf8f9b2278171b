/**
 * Completes a kind's hand-written facts with the default strategy: status is ignored on the main resource and everything else
 * is frozen on /status; generation starts at 1 and grows when the spec changes.
 */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import { ageColumn, nameColumn } from "./columns.ts";
import { deepEqual } from "./deep-equal.ts";
import type {
  DeletionFacts,
  KindDescriptor,
  PrinterColumn,
  RowCondition,
  ScalePaths,
  StorageLocation,
  Subresource,
  SubresourceName,
  Verb,
} from "./descriptor.ts";
import { normalizeStruct, zeroStruct } from "./normalize.ts";
import { kindSchema, type StructSchema } from "./schema.ts";
import { collect, type FieldErrors } from "./validation/field-errors.ts";
import type { NameRule } from "./validation/names.ts";
import { validateObjectMeta, validateObjectMetaUpdate } from "./validation/object-meta.ts";

/** Every verb of an ordinary resource. */
export const allVerbs: readonly Verb[] = [
  "create",
  "delete",
  "deletecollection",
  "get",
  "list",
  "patch",
  "update",
  "watch",
];

const changeVerbs: readonly Verb[] = ["get", "patch", "update"];

/** The /status subresource of `kind`. */
export function statusOf(kind: string): Subresource {
  return { name: "status", kind, verbs: changeVerbs };
}

export const scaleSubresource: Subresource = {
  name: "scale",
  kind: "Scale",
  group: "autoscaling",
  version: "v1",
  verbs: changeVerbs,
};

/** What a kind's own file says; everything absent is the default strategy's. */
export interface KindFacts<T extends KubeObject> {
  readonly ref: KindDescriptor<T>["ref"];
  readonly singular?: string;
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly verbs?: readonly Verb[];
  readonly subresources?: readonly Subresource[];
  readonly scale?: ScalePaths;
  /** Storage prefix; "" for a virtual kind. */
  readonly prefix: string;
  readonly storedAs?: { readonly apiVersion: string; readonly kind: string };
  readonly expires?: boolean;
  readonly nameRule: NameRule;
  /** Values of the selectable fields besides metadata.*; the keys of `selectable` name them. */
  readonly selectable?: Readonly<Record<string, (object: T) => string>>;
  default?(object: T): void;
  /** Objects of most kinds are made without a status, whatever their maker says; "kept": this one's may have one. */
  readonly statusOnCreate?: "kept";
  prepareForCreate?(object: T): void;
  prepareForUpdate?(object: T, old: T, subresource: SubresourceName): void;
  /** Everything but metadata. `old` is there when an update is being validated: what was valid then may stay. */
  validate?(errors: FieldErrors, object: T, old: T | undefined): void;
  /** On an update of the main resource, besides metadata and `validate`: what may not change. */
  validateUpdate?(errors: FieldErrors, object: T, old: T): void;
  /** On an update of a subresource, besides metadata. */
  validateSubresource?(errors: FieldErrors, object: T, old: T, subresource: SubresourceName): void;
  warnings?(object: T, old: T | undefined): string[];
  readonly allowUnconditionalUpdate?: boolean;
  readonly allowCreateOnUpdate?: boolean;
  /** "spec": 1 on create, +1 when spec changes. "none": the field is never set. */
  readonly generation?: "spec" | "none";
  /** /status changes nothing of the metadata. Source: ResetObjectMetaForStatus in the kind's status strategy */
  readonly statusFreezesMetadata?: boolean;
  /** On top of the default: status on the main resource, spec on /status. */
  readonly resetFields?: KindDescriptor<T>["resetFields"];
  readonly deletion?: Partial<DeletionFacts<T>>;
  readonly columns?: readonly PrinterColumn<T>[];
  rowConditions?(object: T): readonly RowCondition[];
  compareRows?(a: T, b: T): number;
  toStored?(object: T): KubeObject;
  fromStored?(object: KubeObject): T;
}

type WithSpec = KubeObject & { spec?: unknown; status?: unknown };

function restore(object: WithSpec, old: WithSpec, field: "spec" | "status"): void {
  if (old[field] === undefined) delete object[field];
  else object[field] = old[field];
}

/** Default strategy of an update. */
function prepareUpdate(
  object: WithSpec,
  old: WithSpec,
  subresource: SubresourceName,
  facts: { hasStatus: boolean; hasGeneration: boolean },
): void {
  if (subresource === "status") {
    for (const key of Object.keys({ ...old, ...object })) {
      if (!["status", "metadata", "apiVersion", "kind"].includes(key)) restore(object, old, key as "spec");
    }
    return;
  }
  if (facts.hasStatus && subresource === "") restore(object, old, "status");
  if (facts.hasGeneration && !deepEqual(object.spec, old.spec)) bumpGeneration(object, old);
}

/** Mutates: all of the metadata is the old one's but what the server itself writes. */
export function restoreMetadata(object: KubeObject, old: KubeObject): void {
  const { managedFields, resourceVersion } = object.metadata;
  object.metadata = { ...old.metadata, managedFields, resourceVersion };
}

/** Mutates: one more than the old object's generation. */
export function bumpGeneration(object: KubeObject, old: KubeObject): void {
  object.metadata.generation = (old.metadata.generation ?? 0) + 1;
}

function storageOf<T extends KubeObject>(facts: KindFacts<T>): StorageLocation | undefined {
  if (facts.prefix === "") return undefined;
  const stored = facts.storedAs ?? { apiVersion: apiVersionOf(facts.ref), kind: facts.ref.kind };
  return { prefix: facts.prefix, ...stored, expires: facts.expires ?? false };
}

function fieldReader<T extends KubeObject>(facts: KindFacts<T>): (object: T) => Record<string, string> {
  const readers = Object.entries(facts.selectable ?? {});
  const namespaced = facts.ref.namespaced;
  return (object) => {
    const fields: Record<string, string> = { "metadata.name": object.metadata.name ?? "" };
    if (namespaced) fields["metadata.namespace"] = object.metadata.namespace ?? "";
    for (const [name, read] of readers) fields[name] = read(object);
    return fields;
  };
}

interface Traits {
  readonly hasStatus: boolean;
  readonly hasGeneration: boolean;
  readonly schema: () => StructSchema | undefined;
}

function traitsOf<T extends KubeObject>(facts: KindFacts<T>): Traits {
  const hasStatus = (facts.subresources ?? []).some((s) => s.name === "status");
  const { group, version, kind } = facts.ref;
  return {
    hasStatus,
    hasGeneration: (facts.generation ?? (hasStatus ? "spec" : "none")) === "spec",
    schema: () => kindSchema(group, version, kind),
  };
}

/** Puts the status into its zero value, as upstream's `obj.Status = Status{}`. */
function resetStatus(object: WithSpec, schema: StructSchema | undefined): void {
  const status = schema?.fields.get("status");
  if (status?.type.kind === "struct" && !status.pointer) object.status = zeroStruct(status.type.struct);
  else delete object.status;
}

function validation<T extends KubeObject>(
  facts: KindFacts<T>,
): Pick<KindDescriptor<T>, "validate" | "validateUpdate" | "warnings"> {
  return {
    validate: (object) => [
      // What is only answered needs no name.
      ...(facts.prefix === "" ? [] : validateObjectMeta(object.metadata, facts.ref.namespaced, facts.nameRule)),
      ...collect((errors) => facts.validate?.(errors, object, undefined)),
    ],
    validateUpdate: (object, old, subresource) => [
      ...validateObjectMetaUpdate(object.metadata, old.metadata),
      ...collect((errors) => {
        if (subresource !== "") return facts.validateSubresource?.(errors, object, old, subresource);
        facts.validate?.(errors, object, old);
        facts.validateUpdate?.(errors, object, old);
      }),
    ],
    warnings: (object, old) => facts.warnings?.(object, old) ?? [],
  };
}

function strategy<T extends KubeObject>(
  facts: KindFacts<T>,
  traits: Traits,
): Pick<KindDescriptor<T>, "default" | "prepareForCreate" | "prepareForUpdate"> {
  const { hasStatus, hasGeneration, schema } = traits;
  return {
    default(object, isNormal = false) {
      const struct = isNormal ? undefined : schema();
      if (struct !== undefined) normalizeStruct(object as unknown as Record<string, unknown>, struct);
      facts.default?.(object);
    },
    prepareForCreate(object) {
      if (hasStatus && facts.statusOnCreate !== "kept") resetStatus(object, schema());
      if (hasGeneration) object.metadata.generation = 1;
      facts.prepareForCreate?.(object);
    },
    prepareForUpdate(object, old, subresource) {
      prepareUpdate(object, old, subresource, traits);
      if (subresource === "status" && facts.statusFreezesMetadata === true) restoreMetadata(object, old);
      facts.prepareForUpdate?.(object, old, subresource);
    },
  };
}

/** The complete descriptor of a kind. */
export function defineKind<T extends KubeObject>(facts: KindFacts<T>): KindDescriptor<T> {
  const { ref } = facts;
  const traits = traitsOf(facts);
  return {
    ref,
    singular: facts.singular ?? ref.kind.toLowerCase(),
    shortNames: facts.shortNames ?? [],
    categories: facts.categories ?? [],
    verbs: facts.verbs ?? allVerbs,
    subresources: facts.subresources ?? [],
    scale: facts.scale,
    storage: storageOf(facts),
    listKind: `${ref.kind}List`,
    schema: traits.schema,
    selectableFields: Object.keys(facts.selectable ?? {}),
    fieldsOf: fieldReader(facts),
    ...strategy(facts, traits),
    ...validation(facts),
    allowUnconditionalUpdate: facts.allowUnconditionalUpdate ?? true,
    allowCreateOnUpdate: facts.allowCreateOnUpdate ?? false,
    hasGeneration: traits.hasGeneration,
    deletion: {
      defaultPropagation: facts.deletion?.defaultPropagation ?? "Background",
      graceSeconds: facts.deletion?.graceSeconds ?? (() => undefined),
    },
    resetFields: {
      ...(traits.hasStatus ? { "": [["status"]], status: [["spec"]] } : { "": [] }),
      ...facts.resetFields,
    },
    columns: facts.columns ?? [nameColumn(), ageColumn()],
    rowConditions: (object) => facts.rowConditions?.(object) ?? [],
    ...(facts.compareRows === undefined ? {} : { compareRows: facts.compareRows }),
    toStored: (object) => facts.toStored?.(object) ?? object,
    fromStored: (object) => facts.fromStored?.(object) ?? (object as T),
  };
}
