/**
 * Eviction thresholds: read from the configuration, compared with what was measured. Pure.
 *
 *   --eviction-hard=memory.available<100Mi,nodefs.available<10%   met: acts at once
 *   --eviction-soft=memory.available<300Mi --eviction-soft-grace-period=memory.available=1m30s   met for so long: acts
 *   --eviction-minimum-reclaim=nodefs.available=500Mi   once met, it stays met until so much more than the threshold is free
 *
 * Source: pkg/kubelet/eviction/helpers.go (ParseThresholdConfig, thresholdsMet)
 */
import { quantityValue } from "@knarr/apimachinery/quantity.ts";
import { parseGoDurationMs } from "@knarr/daemon/flags.ts";
import { isSignal, MEANING, type Observations, type Signal } from "./signals.ts";

/** So many bytes (inodes, processes), or a share of the capacity between 0 and 1. */
export type Amount = { readonly quantity: number } | { readonly share: number };

export interface Threshold {
  readonly signal: Signal;
  readonly value: Amount;
  /** How long it must be met before it acts; 0 for hard thresholds. */
  readonly graceMs: number;
  readonly minReclaim: Amount | undefined;
}

type Texts = Readonly<Record<string, string>>;

export interface ThresholdTexts {
  readonly hard: Texts;
  readonly soft: Texts;
  readonly softGracePeriod: Texts;
  readonly minimumReclaim: Texts;
}

/** Upstream's defaults on Linux. Source: pkg/kubelet/eviction/defaults_linux.go */
export const DEFAULT_HARD: Texts = {
  "memory.available": "100Mi",
  "nodefs.available": "10%",
  "nodefs.inodesFree": "5%",
  "imagefs.available": "15%",
  "imagefs.inodesFree": "5%",
};

export function amountOf(amount: Amount, capacity: number): number {
  return "share" in amount ? Math.floor(capacity * amount.share) : amount.quantity;
}

export function isHard(threshold: Threshold): boolean {
  return threshold.graceMs === 0;
}

/** "100Mi" or "10%". Throws an Error that names the field. */
function parseAmount(field: string, signal: Signal, text: string): Amount {
  if (text.endsWith("%")) {
    const percent = Number(text.slice(0, -1));
    if (text.length < 2 || !Number.isFinite(percent))
      throw new Error(`${field}: ${signal}: invalid percentage ${text}`);
    if (percent < 0) throw new Error(`${field}: eviction percentage threshold ${signal} must be >= 0%: ${text}`);
    if (percent > 100) throw new Error(`${field}: eviction percentage threshold ${signal} must be <= 100%: ${text}`);
    return { share: percent / 100 };
  }
  let quantity: number;
  try {
    quantity = quantityValue(text);
  } catch (error) {
    throw new Error(`${field}: ${signal}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  if (quantity < 0 || (quantity === 0 && field !== "evictionMinimumReclaim")) {
    throw new Error(`${field}: eviction threshold ${signal} must be positive: ${text}`);
  }
  return { quantity };
}

function entriesOf(field: string, texts: Texts): [Signal, string][] {
  return Object.entries(texts).map(([signal, text]) => {
    if (!isSignal(signal)) throw new Error(`${field}: unsupported eviction signal ${signal}`);
    return [signal, text];
  });
}

/** Upstream takes these two for "no threshold". */
const isDisabled = (text: string) => text === "0%" || text === "100%";

/**
 * The thresholds of a configuration. `enforcesPods`: the pods' common cgroup has a limit of its own, which a hard memory
 * threshold then also watches. Throws an Error that names the field at fault.
 */
export function parseThresholds(texts: ThresholdTexts, enforcesPods: boolean): Threshold[] {
  const reclaims = new Map(
    entriesOf("evictionMinimumReclaim", texts.minimumReclaim).map(([signal, text]) => [
      signal,
      parseAmount("evictionMinimumReclaim", signal, text),
    ]),
  );
  const graces = new Map(
    entriesOf("evictionSoftGracePeriod", texts.softGracePeriod).map(([signal, text]) => {
      const ms = parseGoDurationMs(text);
      if (ms < 0) throw new Error(`evictionSoftGracePeriod: ${signal}: must not be negative`);
      return [signal, ms];
    }),
  );
  const parse = (field: string, list: Texts, graceOf: (signal: Signal) => number) =>
    entriesOf(field, list)
      .filter(([, text]) => !isDisabled(text))
      .map(
        ([signal, text]): Threshold => ({
          signal,
          value: parseAmount(field, signal, text),
          graceMs: graceOf(signal),
          minReclaim: reclaims.get(signal),
        }),
      );
  const hard = parse("evictionHard", texts.hard, () => 0);
  const soft = parse("evictionSoft", texts.soft, (signal) => {
    const ms = graces.get(signal);
    if (ms === undefined)
      throw new Error(`evictionSoft: grace period must be specified for the soft eviction threshold ${signal}`);
    return ms;
  });
  const memory = hard.filter((t) => t.signal === "memory.available");
  const common = enforcesPods && !hard.some((t) => t.signal === "allocatableMemory.available") ? memory : [];
  return [...hard, ...soft, ...common.map((t) => ({ ...t, signal: "allocatableMemory.available" as const }))];
}

/**
 * Thresholds of the containers' filesystem, which nobody configures: it is the images' where that is a filesystem of its
 * own, the node's otherwise. Source: KEP-4191
 */
export function withContainerFs(thresholds: readonly Threshold[], dedicatedImageFs: boolean): Threshold[] {
  const from = dedicatedImageFs ? "imagefs." : "nodefs.";
  const others = thresholds.filter((t) => !t.signal.startsWith("containerfs."));
  const copies = others.filter((t) => t.signal.startsWith(from));
  return [...others, ...copies.map((t) => ({ ...t, signal: `containerfs.${t.signal.slice(from.length)}` as Signal }))];
}

/** Those that are met whatever their grace. `withReclaim`: a met one stays so until its minimum reclaim is free as well. */
export function thresholdsMet(
  thresholds: readonly Threshold[],
  observations: Observations,
  withReclaim: boolean,
): Threshold[] {
  return thresholds.filter((threshold) => {
    const observed = observations[threshold.signal];
    if (observed === undefined) return false;
    const reclaim =
      withReclaim && threshold.minReclaim !== undefined ? amountOf(threshold.minReclaim, observed.capacity) : 0;
    return amountOf(threshold.value, observed.capacity) + reclaim > observed.available;
  });
}

export const thresholdKey = ({ signal, graceMs, value }: Threshold): string =>
  `${signal}/${graceMs}/${JSON.stringify(value)}`;

export function mergeThresholds(a: readonly Threshold[], b: readonly Threshold[]): Threshold[] {
  return [...new Map([...a, ...b].map((t) => [thresholdKey(t), t])).values()];
}

/** The one to act on first: memory before all others, for it runs out fastest. */
export function mostUrgent(thresholds: readonly Threshold[]): Threshold | undefined {
  return thresholds.find((t) => MEANING[t.signal].resource === "memory") ?? thresholds[0];
}
