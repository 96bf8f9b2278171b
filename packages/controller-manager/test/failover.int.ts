import assert from "node:assert/strict";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { coordination, core } from "@knarr/api/generated/resources.ts";
import type { Client } from "@knarr/client/client.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import { eventually, type Harness, startHarness } from "./harness.ts";

const FAST = [
  "--leader-elect-lease-duration=8s",
  "--leader-elect-renew-deadline=6s",
  "--leader-elect-retry-period=500ms",
  // So that the audit log tells the processes apart.
  "--use-service-account-credentials=false",
];

/** A new leader reads all that there is before it writes. */
const PATIENCE_MS = 150_000;

let harness: Harness;
let client: Client;

before(async () => {
  harness = await startHarness();
  client = harness.client;
});
after(() => harness.stop());

const startManager = async (name: string) =>
  harness.startManager(FAST, (await harness.api.user(name, ["system:masters"])).kubeconfig);

/** The holder, once it is another than `before`. */
const nextLeader = (before: string) =>
  eventually("another leader", async () => {
    const lease = await client.get(coordination.leases, { namespace: "kube-system", name: "kube-controller-manager" });
    const holder = lease.spec?.holderIdentity ?? "";
    return holder !== "" && holder !== before ? holder : undefined;
  });

/** Makes namespaces, which are work for several controllers, until the signal aborts; returns their names. */
async function makeWork(signal: AbortSignal): Promise<string[]> {
  const names: string[] = [];
  while (!signal.aborted) {
    const name = `work-${names.length}`;
    await client.create(core.namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
    names.push(name);
    await systemClock.sleep(100, signal).catch(() => {});
  }
  return names;
}

interface Write {
  readonly user: string;
  readonly at: string;
}
const writes: Write[] = [];
/** Bytes of the audit log that are in `writes` already: it is long, and looked at often. */
let readBytes = 0;

/** Who wrote, in the server's order; runs of the same writer once. Leases are written by followers, too. */
async function writers(): Promise<string[]> {
  const log = await open(join(harness.api.dir, "audit.log"));
  try {
    const { size } = await log.stat();
    const chunk = Buffer.alloc(size - readBytes);
    const { bytesRead } = await log.read(chunk, 0, chunk.length, readBytes);
    const whole = chunk.subarray(0, chunk.subarray(0, bytesRead).lastIndexOf("\n") + 1);
    readBytes += whole.length;
    for (const line of whole.toString().split("\n")) {
      if (line.includes('"manager-')) noteWrite(JSON.parse(line));
    }
  } finally {
    await log.close();
  }
  writes.sort((a, b) => (a.at < b.at ? -1 : 1));
  return writes.map(({ user }) => user).filter((name, i, all) => name !== all[i - 1]);
}

function noteWrite(event: AuditEvent): void {
  const { stage, verb, user, objectRef, requestReceivedTimestamp: at } = event;
  const isWrite = ["create", "update", "patch", "delete", "deletecollection"].includes(verb);
  if (stage !== "ResponseComplete" || !isWrite || objectRef?.resource === "leases") return;
  if (/^manager-/.test(user.username)) writes.push({ user: user.username, at });
}

interface AuditEvent {
  readonly stage: string;
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly objectRef?: { readonly resource?: string };
  readonly requestReceivedTimestamp: string;
}

test("of several managers one acts at a time, whether a leader is frozen, wakes up, or is killed", async () => {
  const working = new AbortController();
  const first = await startManager("manager-1");
  const firstHolder = await nextLeader("");
  const work = makeWork(working.signal);
  const second = await startManager("manager-2");
  await eventually("the first works", async () => (await writers()).join() === "manager-1", PATIENCE_MS);
  first.signal("SIGSTOP");
  const secondHolder = await nextLeader(firstHolder);
  await eventually("the second works", async () => (await writers()).join() === "manager-1,manager-2", PATIENCE_MS);
  // It wakes up believing that it leads, with events of all that happened meanwhile waiting in its sockets.
  first.signal("SIGCONT");
  assert.notEqual(await first.exited, 0);
  await startManager("manager-3");
  await second.kill();
  await nextLeader(secondHolder);
  await eventually("the third works", async () => (await writers()).at(-1) === "manager-3", PATIENCE_MS);
  working.abort();
  const names = await work;
  await eventually(
    "no namespace was forgotten",
    async () => {
      const { items } = await client.list(core.serviceaccounts);
      const served = new Set(items.map(({ metadata }) => metadata.namespace));
      return names.every((name) => served.has(name));
    },
    PATIENCE_MS,
  );
  assert.deepEqual(await writers(), ["manager-1", "manager-2", "manager-3"]);
});
