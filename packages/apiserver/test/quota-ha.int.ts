/** A quota holds although two API servers over one store take writes at the same time. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { core } from "@knarr/api/generated/resources.ts";
import type { ConfigMap } from "@knarr/api/generated/types/core-v1.ts";
import { StatusError } from "@knarr/apimachinery/status-error.ts";
import { Client } from "@knarr/client/client.ts";
import { startApiserver, type TestApiserver } from "@knarr/testkit/start-apiserver.ts";
import { startEtcd, type TestEtcd } from "@knarr/testkit/start-etcd.ts";

const LIMIT = 25;
const WRITES = 60;
let etcd: TestEtcd;
let servers: TestApiserver[];
before(async () => {
  etcd = await startEtcd();
  servers = await Promise.all([startApiserver({ etcd }), startApiserver({ etcd })]);
});
after(async () => {
  await Promise.all((servers ?? []).map((server) => server.stop()));
  await etcd?.stop();
});

test("a quota is never exceeded by two API servers together", async () => {
  const clients = servers.map((server) => new Client(server.admin));
  const [first] = clients;
  assert.ok(first);
  await first.create(core.namespaces, { metadata: { name: "shared" } });
  const hard = { configmaps: String(LIMIT) };
  const quota = await first.create(core.resourcequotas, {
    metadata: { name: "q", namespace: "shared" },
    spec: { hard },
  });
  const counted = { ...quota, status: { hard, used: { configmaps: "0" } } };
  const { metadata } = await first.update(core.resourcequotas, counted, { subresource: "status" });
  const key = { namespace: "shared", name: "q" };
  // Both must have heard of the quota before the race begins: a list of this version waits for it.
  for (const client of clients) {
    const { resourceVersion } = metadata;
    await client.list(core.resourcequotas, {
      namespace: "shared",
      resourceVersion,
      resourceVersionMatch: "NotOlderThan",
    });
  }
  const outcomes = await Promise.all(
    clients.flatMap((client, server) =>
      Array.from({ length: WRITES }, async (_, i) => {
        const object: ConfigMap = { metadata: { name: `c-${server}-${i}`, namespace: "shared" } };
        try {
          await client.create(core.configmaps, object);
          return "created";
        } catch (error) {
          if (!(error instanceof StatusError)) throw error;
          // A server that lost every race for the quota says so (409) and has written nothing.
          return error.code === 409 ? "conflict" : error.status.message;
        }
      }),
    ),
  );
  const created = outcomes.filter((outcome) => outcome === "created").length;
  const stored = (await first.list(core.configmaps, { namespace: "shared" })).items ?? [];
  assert.equal(stored.length, created);
  assert.ok(created <= LIMIT, `${created} were created`);
  const used = (await first.get(core.resourcequotas, key)).status?.used?.configmaps;
  assert.ok(Number(used) >= created && Number(used) <= LIMIT, `used is ${used}, ${created} were created`);
  // Conflicts may have left some of it; the rest is given out, and not one more.
  const more = async () => {
    for (let i = created; ; i++) {
      await first.create(core.configmaps, { metadata: { name: `more-${i}`, namespace: "shared" } });
      assert.ok(i < LIMIT, "more than the quota");
    }
  };
  await assert.rejects(more(), /exceeded quota: q, requested: configmaps=1/);
  for (const client of clients) client.close();
});
