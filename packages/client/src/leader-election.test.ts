import assert from "node:assert/strict";
import { test } from "node:test";
import type { Lease } from "@knarr/api/generated/types/coordination-v1.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { silentLogger } from "@knarr/daemon/logger.ts";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import type { Client } from "./client.ts";
import { ConnectionError } from "./connection-error.ts";
import { LeadershipLostError, runLeaderElection } from "./leader-election.ts";

const OF = { group: "coordination.k8s.io", resource: "leases" };

/** One Lease with versions, as a server keeps it; `down` makes it unreachable, `stall` makes it never answer. */
class LeaseServer {
  lease: Lease | undefined;
  down = false;
  stall = false;
  #version = 0;

  /** What a process sees of it; its link can be cut by `isUp`. */
  client(isUp: () => boolean = () => true): Client {
    const call = async <R>(answer: () => R): Promise<R> => {
      if (this.stall) return new Promise<never>(() => {});
      if (this.down || !isUp()) throw new ConnectionError("down");
      return answer();
    };
    const store = (lease: Lease): Lease => {
      this.lease = structuredClone({
        ...lease,
        metadata: { ...lease.metadata, resourceVersion: String(++this.#version) },
      });
      return structuredClone(this.lease);
    };
    return {
      get: () =>
        call(() => {
          if (this.lease === undefined) throw statusErrors.notFound(OF, "x");
          return structuredClone(this.lease);
        }),
      create: (_ref: unknown, lease: Lease) =>
        call(() => {
          if (this.lease !== undefined) throw statusErrors.alreadyExists(OF, "x");
          return store(lease);
        }),
      update: (_ref: unknown, lease: Lease) =>
        call(() => {
          if (lease.metadata.resourceVersion !== this.lease?.metadata.resourceVersion)
            throw statusErrors.staleVersion(OF, "x");
          return store(lease);
        }),
    } as unknown as Client;
  }
}

interface Candidate {
  leading: boolean;
  readonly stop: AbortController;
  readonly done: Promise<unknown>;
}
function start(server: LeaseServer, clock: FakeClock, identity: string, isUp?: () => boolean): Candidate {
  const stop = new AbortController();
  const candidate = { leading: false, stop, done: Promise.resolve() as Promise<unknown> };
  candidate.done = runLeaderElection({
    client: server.client(isUp),
    lease: { namespace: "kube-system", name: "x" },
    identity,
    clock,
    log: silentLogger(),
    signal: stop.signal,
    random: () => 0,
    lead: async (signal) => {
      candidate.leading = true;
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      candidate.leading = false;
    },
  }).catch((error: unknown) => error);
  return candidate;
}

test("runLeaderElection() leads at once when the lease is free, and renews it", async () => {
  const [server, clock] = [new LeaseServer(), new FakeClock()];
  const a = start(server, clock, "a");
  await clock.advance(0);
  assert.ok(a.leading);
  assert.equal(server.lease?.spec?.holderIdentity, "a");
  const first = server.lease?.spec?.renewTime;
  await clock.advance(60_000);
  assert.ok(a.leading);
  assert.notEqual(server.lease?.spec?.renewTime, first);
  assert.equal(server.lease?.spec?.leaseTransitions, 0);
});

test("runLeaderElection() hands over within a retry when the leader stops in order", async () => {
  const [server, clock] = [new LeaseServer(), new FakeClock()];
  const a = start(server, clock, "a");
  await clock.advance(0);
  const b = start(server, clock, "b");
  await clock.advance(5000);
  assert.ok(a.leading && !b.leading);
  a.stop.abort();
  await clock.advance(4000);
  assert.ok(b.leading);
  assert.equal(await a.done, undefined);
  assert.equal(server.lease?.spec?.leaseTransitions, 1);
});

test("runLeaderElection() takes over 15 s after the last renewal it saw when the leader is gone", async () => {
  const [server, clock] = [new LeaseServer(), new FakeClock()];
  let up = true;
  const a = start(server, clock, "a", () => up);
  await clock.advance(0);
  const b = start(server, clock, "b");
  await clock.advance(4000);
  up = false;
  await clock.advance(10_000);
  assert.ok(!b.leading);
  await clock.advance(10_000);
  assert.ok(b.leading);
  assert.ok((await a.done) instanceof LeadershipLostError);
});

test("runLeaderElection() never has two leaders, however links and servers fail", async () => {
  const [server, clock] = [new LeaseServer(), new FakeClock()];
  const links = { a: true, b: true };
  const a = start(server, clock, "a", () => links.a);
  const b = start(server, clock, "b", () => links.b);
  let seed = 7;
  const random = () => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    return seed / 2 ** 31;
  };
  for (let second = 0; second < 600; second++) {
    if (random() < 0.05) links.a = !links.a;
    if (random() < 0.05) links.b = !links.b;
    if (random() < 0.02) server.down = !server.down;
    clock.jump(Math.floor((random() - 0.5) * 100_000));
    await clock.advance(1000);
    assert.ok(!(a.leading && b.leading), `two leaders after ${second} s`);
  }
});

test("runLeaderElection() stops leading 10 s after the last renewal when requests hang", async () => {
  const [server, clock] = [new LeaseServer(), new FakeClock()];
  const a = start(server, clock, "a");
  await clock.advance(0);
  server.stall = true;
  await clock.advance(9900);
  assert.ok(a.leading);
  await clock.advance(200);
  assert.ok(!a.leading);
});

test("runLeaderElection() stops leading at once when somebody else took the lease", async () => {
  const [server, clock] = [new LeaseServer(), new FakeClock()];
  const a = start(server, clock, "a");
  await clock.advance(0);
  const stolen = server.lease as Lease;
  const thief = server.client();
  await thief.update({} as never, { ...stolen, spec: { ...stolen.spec, holderIdentity: "thief" } } as never);
  await clock.advance(4100);
  assert.ok(!a.leading);
  assert.ok((await a.done) instanceof LeadershipLostError);
});

test("runLeaderElection() resolves when stopped before it ever led", async () => {
  const [server, clock] = [new LeaseServer(), new FakeClock()];
  start(server, clock, "a");
  await clock.advance(0);
  const b = start(server, clock, "b");
  await clock.advance(100);
  b.stop.abort();
  await clock.advance(0);
  assert.equal(await b.done, undefined);
});
