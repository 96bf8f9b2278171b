/**
 * Charges quotas in the store before the objects are written, so that no number of concurrent writers, on any number of
 * API servers, exceeds them: a quota's status changes only from the version on which the decision was made.
 *
 *   request -> namespace's queue -> one batch at a time: check all against a running copy -> write each changed quota
 *                                        ^                                                    | somebody else wrote it
 *                                        +---------- read the quotas again, three times ------+
 *
 * A charged write that then fails stays charged until the quota controller counts again; the reverse would let the limit
 * be passed. Source: k8s.io/apiserver/pkg/admission/plugin/resourcequota/controller.go
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { ResourceQuota } from "@knarr/api/generated/types/core-v1.ts";
import { evaluatorFor } from "@knarr/api/quota/evaluators.ts";
import { parseJson, stringifyJson } from "@knarr/apimachinery/json.ts";
import { isConflict, isNotFound, statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { ResourceStorage, StoredObject } from "../../storage/types.ts";
import type { AdmissionAttributes } from "../plugin.ts";
import { checkRequest, type LimitedResource } from "./check-request.ts";

interface Waiter {
  readonly attributes: AdmissionAttributes;
  readonly settle: (error?: unknown) => void;
}

interface StoredQuota {
  readonly stored: StoredObject;
  readonly quota: ResourceQuota;
}

export interface LedgerTools {
  readonly storage: ResourceStorage;
  readonly clock: Clock;
  readonly limited: readonly LimitedResource[];
}

const RETRIES = 3;

export class QuotaLedger {
  readonly #tools: LedgerTools;
  /** Waiting requests by namespace; a namespace is there while somebody works on it. */
  readonly #waiting = new Map<string, Waiter[]>();
  /** What was written last, by namespace: the cache may be a moment behind. Kept while a namespace is worked on. */
  readonly #written = new Map<string, Map<string, StoredQuota>>();

  constructor(tools: LedgerTools) {
    this.#tools = tools;
  }

  /** Resolves when the quotas of the namespace have taken the write in; throws 403 when one has no room for it. */
  charge(attributes: AdmissionAttributes): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        attributes,
        settle: (error) => (error === undefined ? resolve() : reject(error)),
      };
      const queue = this.#waiting.get(attributes.namespace);
      if (queue !== undefined) queue.push(waiter);
      else {
        this.#waiting.set(attributes.namespace, [waiter]);
        void this.#work(attributes.namespace);
      }
    });
  }

  async #work(namespace: string): Promise<void> {
    for (;;) {
      const batch = this.#waiting.get(namespace)?.splice(0) ?? [];
      if (batch.length === 0) break;
      try {
        await this.#settleAll(batch, await this.#quotas(namespace), RETRIES);
      } catch (error) {
        // Whoever has an answer keeps it: settling twice changes nothing.
        for (const waiter of batch) waiter.settle(error);
      }
    }
    this.#waiting.delete(namespace);
    this.#written.delete(namespace);
  }

  async #quotas(namespace: string): Promise<StoredQuota[]> {
    const { items } = await this.#tools.storage.list({ namespace, resourceVersion: "0" });
    const newer = this.#written.get(namespace);
    return items.map((stored) => {
      const own = newer?.get(stored.key.name);
      return own !== undefined && own.stored.revision > stored.revision ? own : withQuota(stored);
    });
  }

  async #settleAll(batch: readonly Waiter[], quotas: readonly StoredQuota[], retries: number): Promise<void> {
    const { limited, clock } = this.#tools;
    let running: readonly ResourceQuota[] = quotas.map(({ quota }) => quota);
    const charged: Waiter[] = [];
    const refused: { readonly waiter: Waiter; readonly error: unknown }[] = [];
    for (const waiter of batch) {
      const { attributes } = waiter;
      const evaluator = evaluatorFor(attributes.ref.group, attributes.ref.resource);
      try {
        const after = checkRequest(running, attributes, { evaluator, limited, nowMs: clock.now() });
        if (attributes.dryRun || after === running || after.every((quota, i) => quota === running[i])) waiter.settle();
        else {
          charged.push(waiter);
          running = after;
        }
      } catch (error) {
        refused.push({ waiter, error });
      }
    }
    const collided = await this.#write(quotas, running);
    if (collided.length === 0) {
      for (const waiter of charged) waiter.settle();
    } else if (retries > 0) {
      // The quotas that were written have these requests in them already.
      await this.#settleAll(charged, await this.#reread(collided), retries - 1);
    } else {
      const [first] = collided;
      const name = first?.quota.metadata.name ?? "";
      for (const waiter of charged) waiter.settle(statusErrors.staleVersion(core.resourcequotas, name));
    }
    await this.#settleRefused(refused, quotas, retries);
  }

  /** The cache may not know yet what was given back: nobody is refused for that. */
  async #settleRefused(
    refused: readonly { readonly waiter: Waiter; readonly error: unknown }[],
    quotas: readonly StoredQuota[],
    retries: number,
  ): Promise<void> {
    if (refused.length === 0) return;
    const current = retries === RETRIES ? await this.#reread(quotas) : quotas;
    const isNew =
      current.length !== quotas.length || current.some((one, i) => one.stored.revision !== quotas[i]?.stored.revision);
    if (!isNew) for (const { waiter, error } of refused) waiter.settle(error);
    else
      await this.#settleAll(
        refused.map(({ waiter }) => waiter),
        current,
        retries - 1,
      );
  }

  /** Writes what changed; those that somebody else wrote meanwhile. */
  async #write(quotas: readonly StoredQuota[], after: readonly ResourceQuota[]): Promise<StoredQuota[]> {
    const collided: StoredQuota[] = [];
    for (const [index, before] of quotas.entries()) {
      const quota = after[index];
      if (quota === undefined || quota === before.quota) continue;
      try {
        this.#remember(withQuota(await this.#writeOne(before, quota)));
      } catch (error) {
        if (!isConflict(error) && !isNotFound(error)) throw error;
        collided.push(before);
      }
    }
    return collided;
  }

  async #writeOne({ stored }: StoredQuota, quota: ResourceQuota): Promise<StoredObject> {
    const { resourceVersion: _, ...metadata } = quota.metadata;
    const bytes = Buffer.from(stringifyJson({ ...quota, metadata }));
    const result = await this.#tools.storage.update(
      stored.key,
      (current) => {
        if (current?.revision !== stored.revision) {
          throw statusErrors.staleVersion(core.resourcequotas, stored.key.name);
        }
        return { kind: "write", bytes };
      },
      { suggestion: stored },
    );
    return result.object;
  }

  #remember(written: StoredQuota): void {
    const { namespace, name } = written.stored.key;
    const known = this.#written.get(namespace) ?? new Map<string, StoredQuota>();
    known.set(name, written);
    this.#written.set(namespace, known);
  }

  /** The collided quotas as they are now; one that is gone limits nobody. */
  async #reread(collided: readonly StoredQuota[]): Promise<StoredQuota[]> {
    const found: StoredQuota[] = [];
    for (const { stored } of collided) {
      try {
        found.push(withQuota(await this.#tools.storage.get(stored.key)));
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    return found;
  }
}

function withQuota(stored: StoredObject): StoredQuota {
  return { stored, quota: parseJson(stored.bytes) as ResourceQuota };
}
