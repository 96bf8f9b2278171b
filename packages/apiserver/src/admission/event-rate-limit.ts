/**
 * Bounds how fast events may be written: on the whole, per namespace, per user, per object. Needs a configuration
 * (eventratelimit.admission.k8s.io/v1alpha1 Configuration).
 * Source: k8s.io/kubernetes/plugin/pkg/admission/eventratelimit
 */
import type { Event } from "@knarr/api/generated/types/core-v1.ts";
import { isJsonObject, type JsonObject } from "@knarr/apimachinery/schema.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import { AdmissionConfigurationError, checkDocument } from "./admission-configuration.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "./plugin.ts";

const NAME = "EventRateLimit";
const TYPES = ["Server", "Namespace", "User", "SourceAndObject"] as const;
type LimitType = (typeof TYPES)[number];
const DEFAULT_CACHE_SIZE = 4096;

interface Limit {
  readonly type: LimitType;
  readonly qps: number;
  readonly burst: number;
  readonly cacheSize: number;
}

export function createEventRateLimit(document: JsonObject | undefined, clock: Clock): AdmissionPlugin {
  const enforcers = limitsOf(document).map((limit) => ({ limit, buckets: new Buckets(limit, clock) }));
  return {
    name: NAME,
    validate(attributes) {
      const { operation, ref, dryRun } = attributes;
      if ((operation !== "CREATE" && operation !== "UPDATE") || ref.kind !== "Event" || dryRun) return;
      // Every limiter counts the event, also after one has refused it.
      const refusals = enforcers.flatMap(({ limit, buckets }) => {
        const key = keyFor(limit.type, attributes);
        return buckets.take(key) ? [] : [`limit reached on type ${limit.type} for key ${key}`];
      });
      if (refusals.length === 0) return;
      throw statusErrors.tooManyRequests(refusals.length === 1 ? (refusals[0] ?? "") : `[${refusals.join(", ")}]`, 1);
    },
  };
}

function limitsOf(document: JsonObject | undefined): Limit[] {
  if (document === undefined) throw new AdmissionConfigurationError(`${NAME} needs a configuration`);
  checkDocument(NAME, document, {
    kind: "Configuration",
    apiVersions: ["eventratelimit.admission.k8s.io/v1alpha1"],
    fields: ["limits"],
  });
  const { limits } = document;
  if (!Array.isArray(limits) || limits.length === 0) {
    throw new AdmissionConfigurationError(`configuration of ${NAME}: limits: Invalid value: must not be empty`);
  }
  return limits.map((limit, index) => {
    const wrong = (field: string, why: string) =>
      new AdmissionConfigurationError(`configuration of ${NAME}: limits[${index}].${field}: ${why}`);
    if (!isJsonObject(limit)) throw wrong("type", "must be an object");
    const { type, qps, burst, cacheSize = DEFAULT_CACHE_SIZE } = limit;
    if (!TYPES.some((known) => known === type)) throw wrong("type", `must be one of ${TYPES.join(", ")}`);
    if (!Number.isInteger(burst) || Number(burst) <= 0) throw wrong("burst", "must be positive");
    if (!Number.isInteger(qps) || Number(qps) <= 0) throw wrong("qps", "must be positive");
    if (!Number.isInteger(cacheSize) || Number(cacheSize) < 0) throw wrong("cacheSize", "must not be negative");
    return {
      type: type as LimitType,
      qps: Number(qps),
      burst: Number(burst),
      cacheSize: Number(cacheSize) || DEFAULT_CACHE_SIZE,
    };
  });
}

function keyFor(type: LimitType, attributes: AdmissionAttributes): string {
  switch (type) {
    case "Server":
      return "";
    case "Namespace":
      return attributes.namespace;
    case "User":
      return attributes.user.name;
    case "SourceAndObject": {
      const { source, involvedObject: object } = attributes.object as Event;
      return [
        ...[source?.component, source?.host],
        ...[object?.kind, object?.namespace, object?.name, object?.uid, object?.apiVersion],
      ].join("");
    }
    default:
      return type satisfies never;
  }
}

/** Token buckets by key; the one that was used longest ago goes when there are too many. */
class Buckets {
  readonly #limit: Limit;
  readonly #clock: Clock;
  readonly #byKey = new Map<string, { tokens: number; atMs: number }>();

  constructor(limit: Limit, clock: Clock) {
    this.#limit = limit;
    this.#clock = clock;
  }

  take(key: string): boolean {
    const { qps, burst, cacheSize } = this.#limit;
    const nowMs = this.#clock.monotonicMs();
    const bucket = this.#byKey.get(key) ?? { tokens: burst, atMs: nowMs };
    bucket.tokens = Math.min(burst, bucket.tokens + ((nowMs - bucket.atMs) / 1000) * qps);
    bucket.atMs = nowMs;
    this.#byKey.delete(key);
    this.#byKey.set(key, bucket);
    const oldest = this.#byKey.keys().next().value;
    if (this.#byKey.size > cacheSize && oldest !== undefined) this.#byKey.delete(oldest);
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }
}
