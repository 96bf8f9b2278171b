/** Laws of the incremental model, judged by a kernel that refuses what it would refuse. A failure prints its seed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { diffNft, isEmptyChange } from "@knarr/netfilter/nft-state.ts";
import fc from "fast-check";
import { sha256 } from "../../adapters/sha256.ts";
import { endpointOn, planOptions, serviceView } from "../../testing/flow-table.ts";
import type { ServiceView } from "../planned-port.ts";
import { NftModel } from "./nft-model.ts";

const pods = ["podA", "podB", "remote"] as const;

/** One of five Services, which may claim the same external address, with any endpoints and settings. */
const viewOf = fc
  .record({
    index: fc.integer({ min: 0, max: 4 }),
    endpoints: fc.subarray([...pods]),
    terminating: fc.boolean(),
    sticky: fc.boolean(),
    external: fc.boolean(),
    local: fc.boolean(),
    nodePort: fc.boolean(),
    protocol: fc.constantFrom("TCP", "UDP", "SCTP"),
  })
  .map(({ index, endpoints, terminating, sticky, external, local, nodePort, protocol }): ServiceView => {
    const ip = `10.96.0.${20 + index}`;
    const state = terminating ? { conditions: { ready: false, serving: true, terminating: true } } : {};
    return serviceView({
      name: `web-${index}`,
      protocol: protocol as "TCP",
      endpoints: endpoints.map((pod) => endpointOn(pod, state)),
      spec: {
        type: nodePort ? "NodePort" : "ClusterIP",
        clusterIP: ip,
        clusterIPs: [ip],
        ...(sticky ? { sessionAffinity: "ClientIP" } : {}),
        ...(external ? { externalIPs: ["198.51.100.7"] } : {}),
        ...(local ? { externalTrafficPolicy: "Local", internalTrafficPolicy: "Local" } : {}),
      },
    });
  });
const step = fc.array(viewOf, { maxLength: 5 }).map((views) => {
  const byName = new Map(views.map((view) => [view.service.metadata.name, view]));
  return [...byName.values()];
});

test("update() step by step leads to the table that one update makes, and its changes add up to it", () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 6 }), (steps) => {
      const model = new NftModel(sha256);
      const kernel = {
        chains: new Set<string>(),
        sets: new Set(model.table().sets.keys()),
        elements: new Map<string, Map<string, string>>(),
      };
      for (const views of steps) {
        const { change } = model.update(views, planOptions);
        for (const [set, { deleted, added }] of change.elements) {
          const held = kernel.elements.get(set) ?? new Map<string, string>();
          kernel.elements.set(set, held);
          // The kernel refuses to delete what is not there and to add what is.
          for (const key of deleted) assert.ok(held.delete(key), `${key} is not in ${set}`);
          for (const [key, value] of added) {
            assert.ok(!held.has(key), `${key} is in ${set} already`);
            held.set(key, value);
          }
        }
        for (const name of change.writtenChains.keys()) kernel.chains.add(name);
        for (const name of change.deletedChains) assert.ok(kernel.chains.delete(name), `there is no chain ${name}`);
        for (const name of change.addedSets.keys()) kernel.sets.add(name);
        for (const name of change.deletedSets) assert.ok(kernel.sets.delete(name), `there is no set ${name}`);
      }
      const atOnce = new NftModel(sha256);
      atOnce.update(steps.at(-1) ?? [], planOptions);
      const wanted = atOnce.table();
      assert.deepEqual([...kernel.chains].sort(), [...wanted.chains.keys()].sort());
      assert.deepEqual([...kernel.sets].sort(), [...wanted.sets.keys()].sort());
      for (const [name] of wanted.sets) {
        const held = [...(kernel.elements.get(name) ?? [])].sort();
        assert.deepEqual(held, [...(wanted.elements.get(name) ?? [])].sort());
      }
      assert.deepEqual(
        model.table().chains,
        new Map([...model.table().chains.keys()].map((k) => [k, wanted.chains.get(k)])),
      );
      for (const chain of wanted.chains.values()) {
        for (const { action } of chain.rules) {
          if (action.kind === "goto" || action.kind === "jump")
            assert.ok(wanted.chains.has(action.chain), action.chain);
        }
      }
    }),
    { numRuns: 300 },
  );
});

test("diffNft() after a full write finds nothing", () => {
  const model = new NftModel(sha256);
  model.update([serviceView({ endpoints: [endpointOn("podA")] })], planOptions);
  const { change } = model.update([serviceView({ endpoints: [endpointOn("podA")] })], planOptions);
  assert.ok(isEmptyChange(change));
  const wanted = model.table();
  assert.ok(diffNft(undefined, wanted, false).rebuild);
});
