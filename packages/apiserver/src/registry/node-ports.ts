/**
 * Which node ports are taken: one bitmap object in the store, changed under guard, so that two servers never hand out the
 * same port. Upstream's layout (a RangeAllocation at ranges/servicenodeports), so that either server can go on with it.
 * Source: k8s.io/kubernetes/pkg/registry/core/service/allocator
 */
import { randomInt } from "node:crypto";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { ResourceStorage, StoredObject, UpdateDecision } from "../storage/types.ts";

export interface PortRange {
  readonly min: number;
  readonly max: number;
}

const KEY = { namespace: "", name: "servicenodeports" };
/**
 * The first part of the range is left to those who ask for a port by number.
 * Source: KEP-3668: min(max(16, size/32), 128)
 */
const staticBand = (size: number) => (size < 32 ? 0 : Math.min(Math.max(16, Math.floor(size / 32)), 128));

export class NodePorts {
  readonly #range: PortRange;
  readonly #storage: ResourceStorage;

  constructor(range: PortRange, storage: ResourceStorage) {
    this.#range = range;
    this.#storage = storage;
  }

  get range(): PortRange {
    return this.#range;
  }

  get rangeText(): string {
    return `${this.#range.min}-${this.#range.max}`;
  }

  contains(port: number): boolean {
    return port >= this.#range.min && port <= this.#range.max;
  }

  /** Takes this port; false when it is taken. */
  async take(port: number): Promise<boolean> {
    let free = false;
    await this.#change((bits) => {
      free = !has(bits, port - this.#range.min);
      if (free) set(bits, port - this.#range.min);
      return free;
    });
    return free;
  }

  /** Takes any free port; undefined when there is none. */
  async takeAny(): Promise<number | undefined> {
    let found: number | undefined;
    await this.#change((bits) => {
      found = this.#findFree(bits);
      if (found !== undefined) set(bits, found);
      return found !== undefined;
    });
    return found === undefined ? undefined : this.#range.min + found;
  }

  /** A port that is free now and none of `besides`, without taking it: what a dry run shows. */
  async anyFree(besides: ReadonlySet<number>): Promise<number | undefined> {
    const taken = await this.taken();
    const size = this.#range.max - this.#range.min + 1;
    const band = staticBand(size);
    for (let i = 0; i < size; i += 1) {
      const port = this.#range.min + ((band + i) % size);
      if (!taken.has(port) && !besides.has(port)) return port;
    }
    return undefined;
  }

  /** Gives ports back; idempotent. */
  async release(ports: readonly number[]): Promise<void> {
    if (ports.length === 0) return;
    await this.#change((bits) => {
      for (const port of ports) if (this.contains(port)) clear(bits, port - this.#range.min);
      return true;
    });
  }

  /** The ports that are marked as taken. */
  async taken(): Promise<ReadonlySet<number>> {
    const ports = new Set<number>();
    try {
      const bits = bitsOf(await this.#storage.get(KEY), this.#range);
      for (let i = 0; i < this.#size; i += 1) if (has(bits, i)) ports.add(this.#range.min + i);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    return ports;
  }

  /** Repair: marks what is in use, frees what is known to have leaked. Returns what it had to mark. */
  async correct(inUse: ReadonlySet<number>, leaked: ReadonlySet<number>): Promise<readonly number[]> {
    let marked: number[] = [];
    await this.#change((bits) => {
      marked = [...inUse].filter((port) => this.contains(port) && !has(bits, port - this.#range.min));
      for (const port of marked) set(bits, port - this.#range.min);
      const freed = [...leaked].filter((port) => this.contains(port) && !inUse.has(port));
      for (const port of freed) clear(bits, port - this.#range.min);
      return marked.length > 0 || freed.length > 0;
    });
    return marked;
  }

  get #size(): number {
    return this.#range.max - this.#range.min + 1;
  }

  #findFree(bits: Buffer): number | undefined {
    const band = staticBand(this.#size);
    const upper = this.#size - band;
    const start = randomInt(upper);
    for (let i = 0; i < upper; i += 1) {
      const at = band + ((start + i) % upper);
      if (!has(bits, at)) return at;
    }
    for (let at = 0; at < band; at += 1) if (!has(bits, at)) return at;
    return undefined;
  }

  /** `change` may run several times; it answers whether there is anything to write. */
  async #change(change: (bits: Buffer) => boolean): Promise<void> {
    const decide = (current: StoredObject | undefined): UpdateDecision => {
      const bits = current === undefined ? Buffer.alloc(Math.ceil(this.#size / 8)) : bitsOf(current, this.#range);
      if (!change(bits) && current !== undefined) return { kind: "keep" };
      return { kind: "write", bytes: this.#encode(bits) };
    };
    await this.#storage.update(KEY, decide, { createIfMissing: true });
  }

  #encode(bits: Buffer): Buffer {
    // Go's big.Int: big-endian, without leading zero bytes.
    const reversed = Buffer.from(bits).reverse();
    const first = reversed.findIndex((byte) => byte !== 0);
    const data = first < 0 ? "" : reversed.subarray(first).toString("base64");
    return Buffer.from(
      JSON.stringify({
        kind: "RangeAllocation",
        apiVersion: "v1",
        metadata: { name: KEY.name },
        range: this.rangeText,
        data,
      }),
    );
  }
}

/**
 * The bits of what is stored. They count from the beginning of the range that they were written for: after --service-node-port-range was
 * changed, the ports that both ranges have keep their marks.
 */
function bitsOf(stored: StoredObject, range: PortRange): Buffer {
  const { data = "", range: text } = JSON.parse(stored.bytes.toString()) as { data?: string; range?: string };
  const size = range.max - range.min + 1;
  const written = Buffer.from(data, "base64").reverse();
  const bits = Buffer.alloc(Math.ceil(size / 8));
  const [min = range.min, max = range.max] = (text ?? "").match(/\d+/g)?.map(Number) ?? [];
  if (min === range.min && max === range.max) {
    written.copy(bits);
    return bits;
  }
  for (let at = 0; at < written.length * 8; at += 1) {
    const port = min + at;
    if (has(written, at) && port >= range.min && port <= range.max) set(bits, port - range.min);
  }
  return bits;
}

const has = (bits: Buffer, at: number): boolean => (((bits[at >> 3] ?? 0) >> (at & 7)) & 1) === 1;
const set = (bits: Buffer, at: number): void => {
  bits[at >> 3] = (bits[at >> 3] ?? 0) | (1 << (at & 7));
};
const clear = (bits: Buffer, at: number): void => {
  bits[at >> 3] = (bits[at >> 3] ?? 0) & ~(1 << (at & 7));
};
