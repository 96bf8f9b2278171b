import assert from "node:assert/strict";
import { test } from "node:test";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import { createLogger } from "@knarr/daemon/logger.ts";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import { type Driver, Drivers } from "./drivers.ts";

const plugin = (name: string, endpoint: string, supportedVersions = ["v1.DRAPlugin", "v1beta1.DRAPlugin"]) => ({
  ...{ type: "DRAPlugin", name, endpoint, supportedVersions },
});

function stage() {
  const clock = new FakeClock();
  const deleted: string[] = [];
  const opened: string[] = [];
  const closed: string[] = [];
  const state = { isRegistered: true, failures: 0 };
  const client = {
    deleteCollection: async (_: unknown, { fieldSelector }: { readonly fieldSelector: string }) => {
      if (state.failures-- > 0) throw statusErrors.unauthorized();
      deleted.push(fieldSelector);
    },
  } as unknown as Pick<Client, "deleteCollection">;
  const drivers = new Drivers({
    ...{ client, clock, nodeName: "n1", isRegistered: () => state.isRegistered },
    open: async (endpoint, version) => {
      opened.push(`${endpoint} ${version}`);
      return { endpoint, close: () => closed.push(endpoint) } as unknown as Driver;
    },
    log: createLogger({ name: "test", level: "silent" }),
  });
  return { drivers, clock, deleted, opened, closed, state };
}

test("Drivers.get() has the one that came last, and names one that is not there", async () => {
  const { drivers, opened, closed } = stage();
  assert.throws(() => drivers.get("d.example"), { message: "DRA driver d.example is not registered" });
  await drivers.register(plugin("d.example", "/old.sock", ["v1beta1.DRAPlugin"]));
  await drivers.register(plugin("d.example", "/new.sock"));
  assert.equal(drivers.get("d.example").endpoint, "/new.sock");
  drivers.deregister(plugin("d.example", "/new.sock"));
  assert.equal(drivers.get("d.example").endpoint, "/old.sock");
  assert.deepEqual(opened, ["/old.sock v1beta1", "/new.sock v1"]);
  assert.deepEqual(closed, ["/new.sock"]);
});

test("Drivers.register() refuses versions that it does not know, and an endpoint that is taken", async () => {
  const { drivers } = stage();
  const at = "invalid supported gRPC versions of DRA driver plugin d.example at endpoint /d.sock: ";
  await assert.rejects(drivers.register(plugin("d.example", "/d.sock", [])), {
    message: `${at}empty list of supported gRPC services (aka supported versions)`,
  });
  await assert.rejects(drivers.register(plugin("d.example", "/d.sock", ["v9.DRAPlugin"])), {
    message: `${at}none of services supported by the plugin (["v9.DRAPlugin"]) are supported by the kubelet (["v1.DRAPlugin" "v1beta1.DRAPlugin"])`,
  });
  await drivers.register(plugin("d.example", "/d.sock"));
  await assert.rejects(drivers.register(plugin("d.example", "/d.sock")), {
    message: "endpoint /d.sock already registered for DRA driver plugin d.example",
  });
});

test("Drivers take back what is offered here: all at the start once the node is there, a driver's when it stays away", async () => {
  const { drivers, clock, deleted, state } = stage();
  state.isRegistered = false;
  state.failures = 1;
  const stop = new AbortController();
  const running = drivers.run(stop.signal);
  await clock.advance(5_000);
  assert.deepEqual(deleted, []);
  state.isRegistered = true;
  await clock.advance(5_000);
  assert.deepEqual(deleted, ["spec.nodeName=n1"]);

  await drivers.register(plugin("d.example", "/d.sock"));
  drivers.deregister(plugin("d.example", "/d.sock"));
  await clock.advance(29_000);
  await drivers.register(plugin("d.example", "/d.sock"));
  await clock.advance(60_000);
  assert.deepEqual(deleted, ["spec.nodeName=n1"], "it came back in time");
  drivers.deregister(plugin("d.example", "/d.sock"));
  await clock.advance(30_000);
  assert.deepEqual(deleted, ["spec.nodeName=n1", "spec.nodeName=n1,spec.driver=d.example"]);
  stop.abort();
  await running;
});

test("Drivers.run() closes all of them when it ends, and takes nothing back", async () => {
  const { drivers, clock, deleted, closed } = stage();
  const stop = new AbortController();
  const running = drivers.run(stop.signal);
  await drivers.register(plugin("a.example", "/a.sock"));
  await drivers.register(plugin("b.example", "/b.sock"));
  drivers.deregister(plugin("a.example", "/a.sock"));
  stop.abort();
  await running;
  await clock.advance(60_000);
  assert.deepEqual(closed, ["/a.sock", "/b.sock"]);
  assert.deepEqual(deleted, ["spec.nodeName=n1"]);
});
