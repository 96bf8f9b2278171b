import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeStatus } from "@knarr/api/generated/types/core-v1.ts";
import { planNodePatch } from "./register-node.ts";

const ready = { type: "Ready", status: "True", reason: "KubeletReady", lastHeartbeatTime: "2026-01-01T00:00:00Z" };
const beaten = { ...ready, lastHeartbeatTime: "2026-01-01T00:05:00Z" };
const ip = (address: string) => ({ type: "InternalIP", address });

const CASES: readonly {
  readonly name: string;
  readonly current: NodeStatus;
  readonly wanted: NodeStatus;
  readonly due?: boolean;
  readonly want: object | undefined;
}[] = [
  {
    name: "nothing changed but the heartbeat",
    current: { conditions: [ready] },
    wanted: { conditions: [beaten] },
    want: undefined,
  },
  {
    name: "the heartbeat is due",
    current: { conditions: [ready] },
    wanted: { conditions: [beaten] },
    due: true,
    want: { conditions: [beaten] },
  },
  {
    name: "another sets a resource of its own",
    current: { capacity: { cpu: "2", "example.com/gpu": "1" } },
    wanted: { capacity: { cpu: "4" } },
    want: { capacity: { cpu: "4" } },
  },
  {
    name: "the node gets a second address, which merging by type would lose",
    current: { addresses: [ip("192.0.2.1")] },
    wanted: { addresses: [ip("192.0.2.1"), ip("2001:db8::1")] },
    want: { addresses: [{ $patch: "replace" }, ip("192.0.2.1"), ip("2001:db8::1")] },
  },
];
for (const { name, current, wanted, due = false, want } of CASES) {
  test(`planNodePatch() gives ${JSON.stringify(want)} when ${name}`, () => {
    assert.deepEqual(planNodePatch(current, wanted, due), want);
  });
}
