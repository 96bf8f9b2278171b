/**
 * KindDescriptor: everything that the one generic handler must know of a resource. One kind, one file in kinds/<group>/;
 * a custom resource gets a descriptor of the same shape at run time.
 *
 * The functions are pure: no clock, no I/O; `now` and options are arguments. Objects passed in are well-typed (the decoder has
 * checked types and unknown fields against the field tables); whatever `Mutates` is said to do happens in place, on a copy
 * that the caller owns.
 *
 * Order of a write in the handler:
 *   decode -> default -> [mutating admission] -> default -> prepareForCreate/prepareForUpdate -> validate/validateUpdate
 *   -> [validating admission] -> toStored -> storage
 */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import type { FieldError } from "@knarr/apimachinery/status-error.ts";
import type { StructSchema } from "./schema.ts";

export type Verb = "create" | "delete" | "deletecollection" | "get" | "list" | "patch" | "update" | "watch";

/** A subresource as discovery lists it; its behaviour is the API server's. */
export interface Subresource {
  /** "status", "scale", "log" ... */
  readonly name: string;
  readonly kind: string;
  /** Of `kind`, where they are not the resource's own: Scale is autoscaling/v1, Eviction policy/v1. */
  readonly group?: string;
  readonly version?: string;
  readonly verbs: readonly Verb[];
}

/** JSON paths with a leading dot, as a CustomResourceDefinition writes them. */
export interface ScalePaths {
  readonly specReplicasPath: string;
  readonly statusReplicasPath: string;
  /** Of a LabelSelector, a plain label map (ReplicationController) or a string (custom resources). */
  readonly labelSelectorPath: string;
}

/** A column of `as=Table`. Source: k8s.io/apimachinery meta/v1 TableColumnDefinition */
export interface PrinterColumn<T> {
  readonly name: string;
  readonly type: "string" | "integer" | "number" | "boolean" | "date";
  /** "name" on the column that holds the object's name, else "". */
  readonly format: string;
  readonly description: string;
  /** 0 is always shown, 1 with -o wide. */
  readonly priority: number;
  /** `now` in milliseconds of the epoch. */
  cell(object: T, now: number): string | number | boolean;
}

/** Where objects lie in etcd: `<prefix>/<namespace>/<name>`, in the JSON of `apiVersion` and `kind`. */
export interface StorageLocation {
  /** "/registry/pods", without a trailing slash. */
  readonly prefix: string;
  readonly apiVersion: string;
  readonly kind: string;
  /** Objects vanish by themselves after the server's --event-ttl. */
  readonly expires: boolean;
}

/** meta.k8s.io/v1 TableRowCondition */
export interface RowCondition {
  readonly type: "Completed";
  readonly status: "True";
  readonly reason: string;
  readonly message: string;
}

/** What a request of deletion may wait for. */
export interface DeletionFacts<T> {
  /** When the request names no propagation policy. Source: registry strategies' DefaultGarbageCollectionPolicy */
  readonly defaultPropagation: "Background" | "Orphan";
  /**
   * Seconds of grace, or undefined when the kind is deleted at once. `requestedSeconds` comes from the request.
   * 0 means: remove it now.
   */
  graceSeconds(object: T, requestedSeconds: number | undefined): number | undefined;
}

/** "" is the resource itself. */
export type SubresourceName = string;

export interface KindDescriptor<T extends KubeObject = KubeObject> {
  readonly ref: ResourceRef<T>;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly verbs: readonly Verb[];
  readonly subresources: readonly Subresource[];
  readonly scale: ScalePaths | undefined;
  /** Undefined for virtual kinds (reviews, bindings): they are answered, never stored. */
  readonly storage: StorageLocation | undefined;
  /** Kind of the list: "PodList". */
  readonly listKind: string;

  /** What the field tables know of the kind; undefined for kinds without a table. Read lazily, kept for ever. */
  schema(): StructSchema | undefined;

  /** Field selectors that lists and watches accept besides metadata.name and metadata.namespace. */
  readonly selectableFields: readonly string[];
  /** The value of each selectable field, metadata.name and metadata.namespace among them; absent values are "". */
  fieldsOf(object: T): Readonly<Record<string, string>>;

  /**
   * Mutates: brings the object into the form that Go's encoder would give it (zero values dropped, empty structs present,
   * quantities canonical), then fills in every default: upstream's SetDefaults_* and +default tags. Idempotent.
   * `isNormal`: it has that form already.
   */
  default(object: T, isNormal?: boolean): void;
  /** Mutates: drops what the client may not set when creating (status ...), sets metadata.generation where upstream does. */
  prepareForCreate(object: T): void;
  /**
   * Mutates `object`: restores from `old` what this subresource may not change, bumps metadata.generation when upstream does.
   * metadata.generation must already be the old one.
   */
  prepareForUpdate(object: T, old: T, subresource: SubresourceName): void;
  /** All complaints at once; empty means valid. */
  validate(object: T): FieldError[];
  validateUpdate(object: T, old: T, subresource: SubresourceName): FieldError[];
  /** Texts for Warning headers: deprecated fields and the like. `old` is undefined on create. */
  warnings(object: T, old: T | undefined): string[];

  /** An update without resourceVersion overwrites whatever is there. */
  readonly allowUnconditionalUpdate: boolean;
  /** PUT of a name that does not exist creates it. */
  readonly allowCreateOnUpdate: boolean;
  /** metadata.generation is kept by the server (kinds without it never have the field). */
  readonly hasGeneration: boolean;
  readonly deletion: DeletionFacts<T>;
  /** Paths that server-side apply strips from a manager's set per subresource, e.g. {"": [["status"]], status: [["spec"]]}. */
  readonly resetFields: Readonly<Record<SubresourceName, readonly (readonly string[])[]>>;

  readonly columns: readonly PrinterColumn<T>[];
  /** What a table says about a row besides its cells; mostly nothing. */
  rowConditions(object: T): readonly RowCondition[];
  /** Order of the rows of a listed table; absent: as listed. */
  compareRows?(a: T, b: T): number;

  /** For a version that is not the stored one (events.k8s.io, autoscaling/v1). Pure; the identity otherwise. */
  toStored(object: T): KubeObject;
  fromStored(object: KubeObject): T;
}
