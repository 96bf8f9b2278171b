/**
 * etcd's messages, as far as the API server speaks them: requests as Buffers behind their gRPC header, answers as plain objects.
 * Fields of a request are written last first (proto-writer.ts).
 * Source: etcd api/etcdserverpb/rpc.proto and api/mvccpb/kv.proto (field numbers)
 */
import type { KeyValue, KeyValueEvent, RangeResult } from "../key-value.ts";
import { ProtoReader } from "./proto-reader.ts";
import { ProtoWriter } from "./proto-writer.ts";

const EMPTY: Buffer = Buffer.alloc(0);
/** More than all tags, lengths and numbers of a request together. */
const OVERHEAD_BYTES = 160;
const COMPARE_MOD = 2;
const EVENT_DELETE = 1;

export interface RangeFields {
  readonly key: Buffer;
  readonly end?: Buffer;
  readonly limit?: number;
  readonly revision?: number;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
}

export function encodeRange(request: RangeFields): Buffer {
  const writer = new ProtoWriter(request.key.length + (request.end?.length ?? 0) + OVERHEAD_BYTES);
  writeRange(writer, request);
  return writer.finish();
}

function writeRange(
  writer: ProtoWriter,
  { key, end, limit = 0, revision = 0, keysOnly, countOnly }: RangeFields,
): void {
  writer.bool(9, countOnly ?? false);
  writer.bool(8, keysOnly ?? false);
  if (revision > 0) writer.int(4, revision);
  if (limit > 0) writer.int(3, limit);
  if (end !== undefined) writer.bytes(2, end);
  writer.bytes(1, key);
}

export type GuardedWrite =
  | { readonly kind: "put"; readonly value: Buffer; readonly leaseId?: string | undefined }
  | { readonly kind: "delete" };

/** "If the key's last write has this revision (0: if it does not exist), write; otherwise say what is there." */
export function encodeTransaction(key: Buffer, expectedRevision: number, write: GuardedWrite): Buffer {
  const valueBytes = write.kind === "put" ? write.value.length : 0;
  const writer = new ProtoWriter(key.length * 3 + valueBytes + OVERHEAD_BYTES);
  const failure = writer.at;
  const range = writer.at;
  // A create has no use for the bytes of what is there already.
  writeRange(writer, { key, keysOnly: expectedRevision === 0 });
  writer.wrap(1, range);
  writer.wrap(3, failure);
  const success = writer.at;
  const operation = writer.at;
  if (write.kind === "put") {
    if (write.leaseId !== undefined) writer.int64(3, write.leaseId);
    writer.bytes(2, write.value);
    writer.bytes(1, key);
    writer.wrap(2, operation);
  } else {
    writer.bytes(1, key);
    writer.wrap(3, operation);
  }
  writer.wrap(2, success);
  const compare = writer.at;
  writer.int(6, expectedRevision);
  writer.bytes(3, key);
  writer.int(2, COMPARE_MOD);
  writer.wrap(1, compare);
  return writer.finish();
}

export function encodeLeaseGrant(ttlSeconds: number): Buffer {
  const writer = new ProtoWriter(OVERHEAD_BYTES);
  writer.int(1, ttlSeconds);
  return writer.finish();
}

export function encodeCompaction(revision: number): Buffer {
  const writer = new ProtoWriter(OVERHEAD_BYTES);
  writer.int(1, revision);
  return writer.finish();
}

export function encodeWatchCreate(request: {
  readonly key: Buffer;
  readonly end: Buffer;
  readonly fromRevision: number;
  readonly withPrevious: boolean;
}): Buffer {
  const writer = new ProtoWriter(request.key.length + request.end.length + OVERHEAD_BYTES);
  const end = writer.at;
  writer.bool(8, true); // fragment: large answers come in pieces
  writer.bool(6, request.withPrevious);
  writer.int(3, request.fromRevision);
  writer.bytes(2, request.end);
  writer.bytes(1, request.key);
  writer.wrap(1, end);
  return writer.finish();
}

export function encodeWatchProgress(): Buffer {
  const writer = new ProtoWriter(OVERHEAD_BYTES);
  writer.wrap(3, writer.at);
  return writer.finish();
}

function readRevision(header: ProtoReader): number {
  let revision = 0;
  for (let field = header.next(); field !== 0; field = header.next()) {
    if (field === 3) revision = header.int();
    else header.skip();
  }
  return revision;
}

function readKeyValue(reader: ProtoReader): KeyValue {
  let key = "";
  let value = EMPTY;
  let modRevision = 0;
  let createRevision = 0;
  let leaseId = "0";
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) key = reader.text();
    else if (field === 2) createRevision = reader.int();
    else if (field === 3) modRevision = reader.int();
    else if (field === 5) value = reader.bytes();
    else if (field === 6) leaseId = reader.int64();
    else reader.skip();
  }
  return { key, value, modRevision, createRevision, leaseId };
}

export function decodeRange(message: Buffer): RangeResult {
  return readRange(new ProtoReader(message));
}

function readRange(reader: ProtoReader): RangeResult {
  const items: KeyValue[] = [];
  let [count, more, revision] = [0, false, 0];
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) revision = readRevision(reader.message());
    else if (field === 2) items.push(readKeyValue(reader.message()));
    else if (field === 3) more = reader.int() !== 0;
    else if (field === 4) count = reader.int();
    else reader.skip();
  }
  return { items, count, more, revision };
}

export interface TransactionResult {
  readonly succeeded: boolean;
  readonly revision: number;
  /** What stood in the way of a write that failed; undefined when the key does not exist. */
  readonly found: KeyValue | undefined;
}

export function decodeTransaction(message: Buffer): TransactionResult {
  const reader = new ProtoReader(message);
  let [succeeded, revision] = [false, 0];
  let found: KeyValue | undefined;
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) revision = readRevision(reader.message());
    else if (field === 2) succeeded = reader.int() !== 0;
    else if (field === 3) {
      const response = reader.message();
      for (let kind = response.next(); kind !== 0; kind = response.next()) {
        if (kind === 1) found = readRange(response.message()).items[0];
        else response.skip();
      }
    } else reader.skip();
  }
  return { succeeded, revision, found };
}

/** The id of the lease, in decimal. */
export function decodeLeaseGrant(message: Buffer): string {
  const reader = new ProtoReader(message);
  let id = "0";
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 2) id = reader.int64();
    else reader.skip();
  }
  return id;
}

export interface WatchAnswer {
  readonly revision: number;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compactRevision: number;
  readonly cancelReason: string;
  /** More events of the same revision follow in the next answer. */
  readonly fragment: boolean;
  readonly events: readonly KeyValueEvent[];
}

export function decodeWatchAnswer(message: Buffer): WatchAnswer {
  const reader = new ProtoReader(message);
  const events: KeyValueEvent[] = [];
  let [revision, created, canceled, compactRevision, cancelReason, fragment] = [0, false, false, 0, "", false];
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) revision = readRevision(reader.message());
    else if (field === 3) created = reader.int() !== 0;
    else if (field === 4) canceled = reader.int() !== 0;
    else if (field === 5) compactRevision = reader.int();
    else if (field === 6) cancelReason = reader.text();
    else if (field === 7) fragment = reader.int() !== 0;
    else if (field === 11) events.push(readEvent(reader.message()));
    else reader.skip();
  }
  return { revision, created, canceled, compactRevision, cancelReason, fragment, events };
}

function readEvent(reader: ProtoReader): KeyValueEvent {
  let isDelete = false;
  let current: KeyValue | undefined;
  let previous: KeyValue | undefined;
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) isDelete = reader.int() === EVENT_DELETE;
    else if (field === 2) current = readKeyValue(reader.message());
    else if (field === 3) previous = readKeyValue(reader.message());
    else reader.skip();
  }
  return {
    type: isDelete ? "delete" : "put",
    key: current?.key ?? "",
    value: isDelete ? EMPTY : (current?.value ?? EMPTY),
    revision: current?.modRevision ?? 0,
    isCreate: !isDelete && current !== undefined && current.createRevision === current.modRevision,
    previous,
  };
}
