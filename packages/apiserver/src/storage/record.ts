/**
 * One version of one object as the server keeps it: served bytes inside a watch frame, and, when somebody asks, the labels and fields
 * that selectors look at. Immutable; the bytes are shared by every reader.
 */
import type { ObjectKey } from "@knarr/apimachinery/resource.ts";
import { type FrameType, frameOf, spliceFrame, unspliced } from "./splice.ts";
import type { ObjectSelector, StoredObject } from "./types.ts";

export interface Attributes {
  readonly labels: Readonly<Record<string, string>>;
  /** Includes metadata.name and metadata.namespace. */
  readonly fields: Readonly<Record<string, string>>;
}

/** What the records of one resource have in common. */
export interface RecordFormat {
  /** "/registry/pods/" */
  readonly prefix: string;
  readonly namespaced: boolean;
  readonly fieldsOf?: (object: unknown) => Record<string, string>;
}

const NO_LABELS: Readonly<Record<string, string>> = Object.freeze({});

export class ObjectRecord implements StoredObject {
  readonly #format: RecordFormat;
  readonly #insertAt: number;
  readonly #insertLength: number;
  #attributes: Attributes | undefined;
  /** The whole key in etcd: what objects are ordered by. */
  readonly storeKey: string;
  readonly key: ObjectKey;
  readonly revision: number;
  readonly bytes: Buffer;
  /** The frame that `bytes` lies in, and its type. */
  readonly frame: Buffer;
  readonly frameType: FrameType;

  constructor(
    format: RecordFormat,
    at: { readonly storeKey: string; readonly revision: number },
    stored: Buffer,
    frameType: FrameType,
  ) {
    const spliced = spliceFrame(stored, at.revision, frameType);
    this.#format = format;
    this.storeKey = at.storeKey;
    this.key = objectKeyOf(format, at.storeKey);
    this.revision = at.revision;
    this.bytes = spliced.bytes;
    this.frame = spliced.frame;
    this.frameType = frameType;
    this.#insertAt = spliced.insertAt;
    this.#insertLength = spliced.insertLength;
  }

  /** The frame of any type; made anew unless it is the one that the bytes lie in. */
  frameAs(type: FrameType): Buffer {
    return type === this.frameType ? this.frame : frameOf(this.bytes, type);
  }

  /** What is stored in etcd: the bytes without resourceVersion. A copy. */
  stored(): Buffer {
    return unspliced(this.bytes, this.#insertAt, this.#insertLength);
  }

  /** Whether writing `stored` would change nothing. */
  holds(stored: Buffer): boolean {
    const at = this.#insertAt;
    if (stored.length !== this.bytes.length - this.#insertLength) return false;
    return (
      stored.compare(this.bytes, 0, at, 0, at) === 0 &&
      stored.compare(this.bytes, at + this.#insertLength, this.bytes.length, at) === 0
    );
  }

  /** The same object under another revision: what a DELETED event shows. */
  at(revision: number, frameType: FrameType): ObjectRecord {
    const made = new ObjectRecord(this.#format, { storeKey: this.storeKey, revision }, this.stored(), frameType);
    made.#attributes = this.#attributes;
    return made;
  }

  /** The object, parsed now. Large integers lose precision: for reading labels and the like, not for writing back. */
  parse(): unknown {
    return JSON.parse(this.bytes.toString());
  }

  attributes(): Attributes {
    if (this.#attributes === undefined) {
      const object = this.parse() as { metadata: { labels?: Record<string, string> | null } };
      const { namespace, name } = this.key;
      this.#attributes = {
        labels: object.metadata.labels ?? NO_LABELS,
        fields: {
          "metadata.name": name,
          ...(this.#format.namespaced ? { "metadata.namespace": namespace } : {}),
          ...this.#format.fieldsOf?.(object),
        },
      };
    }
    return this.#attributes;
  }

  matches(selector: ObjectSelector): boolean {
    const { namespace, name, labels, fields } = selector;
    if (namespace !== undefined && namespace !== "" && this.key.namespace !== namespace) return false;
    if (name !== undefined && this.key.name !== name) return false;
    if (labels === undefined && fields === undefined) return true;
    const attributes = this.attributes();
    return (labels?.matches(attributes.labels) ?? true) && (fields?.matches(attributes.fields) ?? true);
  }
}

/** "/registry/pods/default/web" -> default/web; "/registry/minions/node-1" -> node-1. */
function objectKeyOf(format: RecordFormat, storeKey: string): ObjectKey {
  const rest = storeKey.slice(format.prefix.length);
  if (!format.namespaced) return { namespace: "", name: rest };
  const slash = rest.indexOf("/");
  return { namespace: rest.slice(0, slash), name: rest.slice(slash + 1) };
}

/** The key in etcd of an object. */
export function storeKeyOf(format: RecordFormat, key: ObjectKey): string {
  return format.namespaced ? `${format.prefix}${key.namespace}/${key.name}` : `${format.prefix}${key.name}`;
}

/** The keys that a selector can match: one key, one namespace, or the whole resource. `end` is exclusive. */
export function keyRangeOf(format: RecordFormat, selector: ObjectSelector): { prefix: string; single: boolean } {
  const { namespace = "", name } = selector;
  if (name !== undefined && (!format.namespaced || namespace !== "")) {
    return { prefix: storeKeyOf(format, { namespace, name }), single: true };
  }
  if (format.namespaced && namespace !== "") return { prefix: `${format.prefix}${namespace}/`, single: false };
  return { prefix: format.prefix, single: false };
}
