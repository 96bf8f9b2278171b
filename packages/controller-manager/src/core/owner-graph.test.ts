import assert from "node:assert/strict";
import { test } from "node:test";
import type { OwnerReference } from "@knarr/apimachinery/generated/meta-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import fc from "fast-check";
import { coordinates, type Effects, OwnerGraph } from "./owner-graph.ts";

interface Parts {
  namespace?: string;
  owners?: (string | OwnerReference)[];
  finalizers?: string[];
  going?: boolean;
}

const ref = (uid: string, more: Partial<OwnerReference> = {}): OwnerReference => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  name: uid,
  uid,
  ...more,
});

/** A ConfigMap whose name is its uid. */
function object(uid: string, { namespace = "a", owners = [], finalizers = [], going = false }: Parts = {}): KubeObject {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      uid,
      name: uid,
      namespace,
      finalizers,
      ownerReferences: owners.map((owner) => (typeof owner === "string" ? ref(owner) : owner)),
      ...(going ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {}),
    },
  };
}

const none: Effects = { toDelete: [], toOrphan: [], invalid: [] };

interface Row {
  name: string;
  before: KubeObject[];
  change: (graph: OwnerGraph) => Effects;
  want: Partial<Effects>;
}

const observe = (changed: KubeObject) => (graph: OwnerGraph) => graph.observe(changed);
const forget = (uid: string) => (graph: OwnerGraph) => graph.forget(uid);
const FOREGROUND = { finalizers: ["foregroundDeletion"], going: true };

const rows: Row[] = [
  { name: "looks at nothing when an object has no owners", before: [], change: observe(object("o")), want: none },
  {
    name: "looks at the owner when nobody has seen it",
    before: [],
    change: observe(object("d", { owners: ["o"] })),
    want: { toDelete: ["o"] },
  },
  {
    name: "looks at nothing when the owner is known",
    before: [object("o")],
    change: observe(object("d", { owners: ["o"] })),
    want: none,
  },
  {
    name: "looks at nothing when an owner comes that is described rightly",
    before: [object("d", { owners: [ref("o", { apiVersion: "v1" })] })],
    change: observe(object("o")),
    want: none,
  },
  {
    name: "looks at the dependents that describe an owner wrongly when it comes",
    before: [object("d1", { owners: ["o"] }), object("d2", { owners: [ref("o", { name: "other" })] })],
    change: observe(object("o")),
    want: { toDelete: ["d2"] },
  },
  {
    name: "looks at the dependent when it describes a known owner wrongly",
    before: [object("o")],
    change: observe(object("d", { owners: [ref("o", { kind: "Secret" })] })),
    want: { toDelete: ["d"] },
  },
  {
    name: "looks at the dependents when their owner goes",
    before: [object("o"), object("d1", { owners: ["o"] }), object("d2", { owners: ["o"] })],
    change: forget("o"),
    want: { toDelete: ["d1", "d2"] },
  },
  {
    name: "looks at an absent owner again when it gets another dependent",
    before: [object("d1", { owners: ["o"] })],
    change: observe(object("d2", { owners: ["o"] })),
    want: { toDelete: ["o"] },
  },
  {
    name: "looks at dependents and owner when it is deleted in the foreground",
    before: [object("o"), object("d", { owners: ["o"] })],
    change: observe(object("o", FOREGROUND)),
    want: { toDelete: ["d", "o"] },
  },
  {
    name: "looks at an owner deleted in the foreground when a dependent goes",
    before: [object("o", FOREGROUND), object("d", { owners: ["o"] })],
    change: forget("d"),
    want: { toDelete: ["o"] },
  },
  {
    name: "looks at an owner deleted in the foreground when a dependent no longer blocks it",
    before: [object("o", FOREGROUND), object("d", { owners: [ref("o", { blockOwnerDeletion: true })] })],
    change: observe(object("d", { owners: [ref("o", { blockOwnerDeletion: false })] })),
    want: { toDelete: ["o"] },
  },
  {
    name: "looks at a new dependent of an owner deleted in the foreground",
    before: [object("o", FOREGROUND)],
    change: observe(object("d", { owners: ["o"] })),
    want: { toDelete: ["d"] },
  },
  {
    name: "orphans once when an owner is deleted with the orphan finalizer",
    before: [object("o"), object("d", { owners: ["o"] })],
    change: observe(object("o", { finalizers: ["orphan"], going: true })),
    want: { toOrphan: ["o"] },
  },
  {
    name: "orphans nothing again when an orphaning owner changes",
    before: [object("o", { finalizers: ["orphan"], going: true })],
    change: observe(object("o", { finalizers: ["orphan", "other"], going: true })),
    want: none,
  },
];

for (const { name, before, change, want } of rows) {
  test(`OwnerGraph ${name}`, () => {
    const graph = new OwnerGraph();
    for (const known of before) graph.observe(known);
    assert.deepEqual(change(graph), { ...none, ...want });
  });
}

test("OwnerGraph warns of an owner in another namespace, in whatever order the two come", () => {
  const owner = object("o", { namespace: "b" });
  const dependent = object("d", { owners: ["o"] });
  const inOrder = (first: KubeObject, second: KubeObject) => {
    const graph = new OwnerGraph();
    graph.observe(first);
    return graph.observe(second);
  };
  for (const effects of [inOrder(owner, dependent), inOrder(dependent, owner)]) {
    assert.deepEqual(effects.toDelete, ["d"]);
    assert.deepEqual(
      effects.invalid.map(({ dependent: { name, namespace }, reference }) => [namespace, name, reference.uid]),
      [["a", "d", "o"]],
    );
  }
});

test("OwnerGraph.claims() tells the descriptions of an unseen owner apart", () => {
  const graph = new OwnerGraph();
  graph.observe(object("d1", { owners: [ref("o", { name: "wrong" })] }));
  graph.observe(object("d2", { owners: ["o"] }));
  graph.observe(object("d3", { namespace: "b", owners: ["o"] }));
  graph.observe(object("d4", { owners: ["o"] }));
  assert.deepEqual(
    graph.claims("o").map(({ identity: { namespace, name }, dependents }) => [namespace, name, dependents]),
    [
      ["a", "wrong", ["d1"]],
      ["a", "o", ["d2", "d4"]],
      ["b", "o", ["d3"]],
    ],
  );
  graph.observe(object("o"));
  assert.deepEqual(graph.claims("o"), []);
});

test("OwnerGraph keeps who depends on an object when it goes and comes back", () => {
  const graph = new OwnerGraph();
  graph.observe(object("o"));
  graph.observe(object("d", { owners: ["o"] }));
  graph.forget("o");
  assert.equal(graph.get("o")?.virtual, true);
  graph.observe(object("o"));
  assert.deepEqual(graph.forget("o").toDelete, ["d"]);
  graph.forget("d");
  assert.equal(graph.size, 0);
});

test("OwnerGraph.blockingDependents() leaves out the object itself and those that don't block", () => {
  const graph = new OwnerGraph();
  const blocking = (uid: string) => ref(uid, { blockOwnerDeletion: true });
  graph.observe(object("o", { owners: [blocking("o")] }));
  graph.observe(object("d1", { owners: [blocking("o")] }));
  graph.observe(object("d2", { owners: ["o"] }));
  assert.deepEqual(
    graph.blockingDependents("o").map(({ identity }) => identity.uid),
    ["d1"],
  );
});

/**
 * A world of ten objects that come, change owners (some described wrongly) and go, in any order; and the collector's loop
 * in small: whatever the graph says to look at is judged by the truth.
 */
test("OwnerGraph misses no object that has lost all its owners (property)", () => {
  const uid = fc.constantFrom("0", "1", "2", "3", "4", "5");
  const namespace = fc.constantFrom("a", "b");
  const owner = fc.record({ uid, name: fc.boolean() }).map((o) => ref(o.uid, o.name ? {} : { name: "wrong" }));
  const step = fc.oneof(
    fc.record({ what: fc.constant("put" as const), uid, namespace, owners: fc.array(owner, { maxLength: 2 }) }),
    fc.record({ what: fc.constant("remove" as const), uid }),
    fc.record({ what: fc.constant("unwatch" as const), uid }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const graph = new OwnerGraph();
      const world = new Map<string, KubeObject>();
      const marked: string[] = [];
      const follow = ({ toDelete }: Effects) => marked.push(...toDelete);
      const truth = (reference: OwnerReference, from: string) => {
        const found = world.get(reference.uid);
        return found?.metadata.name === reference.name && found.metadata.namespace === from;
      };
      const holds = ({ metadata }: KubeObject) =>
        (metadata.ownerReferences ?? []).some((reference) => truth(reference, metadata.namespace ?? ""));
      for (const one of steps) {
        const known = world.get(one.uid);
        if (one.what === "put") {
          const { owners } = one;
          // An object's namespace is for life.
          const made = object(one.uid, { namespace: known?.metadata.namespace ?? one.namespace, owners });
          world.set(one.uid, made);
          follow(graph.observe(made));
        } else if (one.what === "remove") {
          world.delete(one.uid);
          follow(graph.forget(one.uid));
        } else if (known !== undefined) {
          follow(graph.unwatch(one.uid));
          follow(graph.observe(known));
        }
      }
      for (let mark = marked.shift(); mark !== undefined; mark = marked.shift()) {
        for (const { identity, dependents } of graph.claims(mark)) {
          const { name, namespace: from } = identity;
          if (!truth(ref(mark, { name }), from)) marked.push(...dependents);
        }
        const judged = world.get(mark);
        if (judged === undefined || (judged.metadata.ownerReferences ?? []).length === 0 || holds(judged)) continue;
        world.delete(mark);
        follow(graph.forget(mark));
      }
      for (const left of world.values()) {
        assert.ok((left.metadata.ownerReferences ?? []).length === 0 || holds(left), `${left.metadata.uid} was missed`);
      }
      // The graph is the world, and nothing else but what the world refers to.
      for (const { metadata } of world.values()) assert.equal(graph.get(metadata.uid ?? "")?.virtual, false);
      const referred = [...world.values()].flatMap(({ metadata }) =>
        (metadata.ownerReferences ?? []).map((r) => r.uid),
      );
      assert.equal(graph.size, new Set([...world.keys(), ...referred]).size);
    }),
    { numRuns: 500 },
  );
});

test("coordinates() are equal when only the version differs", () => {
  const identity = { apiVersion: "apps/v1", kind: "Deployment", namespace: "a", name: "n", uid: "u" };
  assert.equal(coordinates(identity), coordinates({ ...identity, apiVersion: "apps/v1beta1" }));
  for (const other of [{ uid: "v" }, { name: "m" }, { namespace: "b" }, { apiVersion: "v1" }, { kind: "ReplicaSet" }]) {
    assert.notEqual(coordinates(identity), coordinates({ ...identity, ...other }));
  }
});
