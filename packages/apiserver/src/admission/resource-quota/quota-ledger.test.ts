/** The ledger over a store of one quota whose cache may be old and that others write, too. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { core } from "@knarr/api/generated/resources.ts";
import type { ResourceQuota } from "@knarr/api/generated/types/core-v1.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import type { ResourceStorage, StoredObject } from "../../storage/types.ts";
import type { AdmissionAttributes } from "../plugin.ts";
import { QuotaLedger } from "./quota-ledger.ts";

const KEY = { namespace: "ns", name: "q" };

class FakeQuotas {
  #revision = 1;
  #used: string;
  /** What the cache shows; undefined: what is stored. */
  stale: StoredObject | undefined;
  /** Called before each write: somebody else's chance. */
  beforeWrite: () => void = () => {};
  writes = 0;
  readonly #hard: string;

  constructor(hard: string, used: string) {
    this.#hard = hard;
    this.#used = used;
  }

  get stored(): StoredObject {
    const status = { hard: { configmaps: this.#hard }, used: { configmaps: this.#used } };
    const metadata = { ...KEY, resourceVersion: String(this.#revision) };
    return { key: KEY, revision: this.#revision, bytes: Buffer.from(JSON.stringify({ metadata, spec: {}, status })) };
  }

  get used(): string {
    return this.#used;
  }

  /** Somebody else's write. */
  set(used: string): void {
    this.#used = used;
    this.#revision += 1;
  }

  get storage(): ResourceStorage {
    return {
      list: async () => ({ resourceVersion: "1", items: [this.stale ?? this.stored] }),
      get: async () => this.stored,
      update: async (_key: unknown, decide: (current: StoredObject) => { bytes: Buffer }) => {
        this.beforeWrite();
        const { bytes } = decide(this.stored);
        const quota = JSON.parse(bytes.toString()) as ResourceQuota;
        this.writes += 1;
        this.set(quota.status?.used?.configmaps ?? "");
        return { outcome: "updated", object: this.stored };
      },
    } as unknown as ResourceStorage;
  }
}

const attributes = (dryRun = false): AdmissionAttributes => ({
  operation: "CREATE",
  ref: core.configmaps,
  subresource: "",
  namespace: "ns",
  name: "c",
  object: { metadata: { name: "c" } },
  user: { name: "u", uid: "", groups: [], extra: {} },
  dryRun,
  warn: () => {},
  annotate: () => {},
});

describe("QuotaLedger.charge()", () => {
  const ledgerOf = (quotas: FakeQuotas) =>
    new QuotaLedger({ storage: quotas.storage, clock: systemClock, limited: [] });
  const charged = async (ledger: QuotaLedger, count: number) =>
    (await Promise.allSettled(Array.from({ length: count }, () => ledger.charge(attributes())))).filter(
      ({ status }) => status === "fulfilled",
    ).length;

  test("lets in as many as there is room for, with few writes", async () => {
    const quotas = new FakeQuotas("5", "0");
    assert.equal(await charged(ledgerOf(quotas), 20), 5);
    assert.equal(quotas.used, "5");
    assert.ok(quotas.writes <= 2, `${quotas.writes} writes`);
  });
  test("decides again when somebody else wrote the quota meanwhile", async () => {
    const quotas = new FakeQuotas("5", "0");
    let others = 1;
    quotas.beforeWrite = () => {
      if (others-- > 0) quotas.set("4");
    };
    assert.equal(await charged(ledgerOf(quotas), 3), 1);
    assert.equal(quotas.used, "5");
  });
  test("refuses nobody for what only the cache believes", async () => {
    const quotas = new FakeQuotas("5", "5");
    quotas.stale = quotas.stored;
    quotas.set("3");
    assert.equal(await charged(ledgerOf(quotas), 3), 2);
    assert.equal(quotas.used, "5");
  });
  test("gives up with a conflict when it loses every race", async () => {
    const quotas = new FakeQuotas("1000", "0");
    let used = 0;
    quotas.beforeWrite = () => quotas.set(String(++used));
    await assert.rejects(ledgerOf(quotas).charge(attributes()), { code: 409 });
    assert.equal(quotas.writes, 0);
  });
  test("writes nothing for a dry run", async () => {
    const quotas = new FakeQuotas("5", "0");
    await ledgerOf(quotas).charge(attributes(true));
    assert.equal(quotas.writes, 0);
  });
  test("is not stuck by a store that fails", async () => {
    const quotas = new FakeQuotas("5", "0");
    const ledger = ledgerOf(quotas);
    quotas.beforeWrite = () => {
      throw statusErrors.serviceUnavailable("the storage is not available, try again");
    };
    await assert.rejects(ledger.charge(attributes()), { code: 503 });
    quotas.beforeWrite = () => {};
    await ledger.charge(attributes());
    assert.equal(quotas.used, "1");
  });
});
