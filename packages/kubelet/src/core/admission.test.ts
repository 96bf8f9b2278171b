import assert from "node:assert/strict";
import test from "node:test";
import type { Node, Pod, PodSpec } from "@knarr/api/generated/types/core-v1.ts";
import fc from "fast-check";
import { judgePod, refusePod } from "./admission.ts";
import { planPreemption } from "./plan-preemption.ts";
import { container, pod } from "./testing.ts";

const node: Node = {
  metadata: { name: "n", labels: { "kubernetes.io/os": "linux", rack: "1" } },
  spec: { taints: [{ key: "t", effect: "NoExecute" }] },
  status: { allocatable: { cpu: "2", memory: "1Gi", pods: "3", "ephemeral-storage": "1Gi", "example.com/thing": "1" } },
};
const tolerations = [{ operator: "Exists" }];

function asking(requests: Record<string, string>, more: Partial<PodSpec> = {}, name = "p"): Pod {
  return pod(
    { containers: [container("main", { resources: { requests } })], tolerations, ...more },
    { name, uid: name },
  );
}

const refusals: { name: string; pod: Pod; others?: Pod[]; want: string | undefined; message?: string }[] = [
  { name: "what fits", pod: asking({ cpu: "2", memory: "1Gi" }), want: undefined },
  {
    name: "too much cpu",
    pod: asking({ cpu: "1500m" }),
    others: [asking({ cpu: "1" }, {}, "o")],
    want: "OutOfcpu",
    message: "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000",
  },
  { name: "too much memory", pod: asking({ memory: "2Gi" }), want: "OutOfmemory" },
  { name: "too much disk", pod: asking({ "ephemeral-storage": "2Gi" }), want: "OutOfephemeral-storage" },
  { name: "too many things", pod: asking({ "example.com/thing": "2" }), want: "OutOfexample.com/thing" },
  { name: "things that no node has", pod: asking({ "example.com/cluster-wide": "2" }), want: undefined },
  {
    name: "one pod too many",
    pod: asking({}),
    others: ["a", "b", "c"].map((n) => asking({}, {}, n)),
    want: "OutOfpods",
  },
  {
    name: "another rack",
    pod: asking({}, { nodeSelector: { rack: "2" } }),
    want: "NodeAffinity",
    message: "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
  },
  {
    name: "a port that is taken",
    pod: asking({}, { containers: [container("main", { ports: [{ containerPort: 1, hostPort: 80 }] })] }),
    others: [asking({}, { containers: [container("main", { ports: [{ containerPort: 2, hostPort: 80 }] })] }, "o")],
    want: "NodePorts",
    message: "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
  },
  {
    name: "an untolerated NoExecute taint",
    pod: asking({}, { tolerations: [] }),
    want: "TaintToleration",
    message: "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate",
  },
  {
    name: "no taint, of a static pod",
    pod: pod({}, { annotations: { "kubernetes.io/config.source": "file" } }),
    want: undefined,
  },
  { name: "another system", pod: asking({}, { os: { name: "windows" } }), want: "PodOSNotSupported" },
  {
    name: "a label of another system",
    pod: pod({ tolerations }, { labels: { "kubernetes.io/os": "windows" } }),
    want: "PodOSSelectorNodeLabelDoesNotMatch",
  },
];
for (const { name, pod: wanted, others = [], want, message } of refusals) {
  test(`refusePod() judges ${name}: ${want ?? "taken"}`, () => {
    const refusal = refusePod(wanted, node, others);
    assert.equal(refusal?.reason, want);
    if (message !== undefined) assert.equal(refusal?.message, message);
  });
}

const CRITICAL = { priority: 2_000_000_000 };
const shortagesFor = (wanted: Pod, running: Pod[]) => judgePod(wanted, node, running).shortages;
const namesOf = (pods: readonly Pod[]) => pods.map((p) => p.metadata.name);

test("planPreemption() takes the fewest pods that make room, best effort before burstable", () => {
  const critical = asking({ cpu: "1", memory: "512Mi" }, CRITICAL, "critical");
  const running = [
    asking({ cpu: "1", memory: "256Mi" }, {}, "large"),
    asking({ cpu: "500m", memory: "256Mi" }, {}, "middle"),
    asking({ cpu: "500m", memory: "256Mi" }, CRITICAL, "other-critical"),
  ];
  assert.deepEqual(namesOf(planPreemption(critical, running, shortagesFor(critical, running))), ["large"]);
  const crowd = [asking({}, {}, "best"), asking({ cpu: "1" }, {}, "burstable"), asking({}, CRITICAL, "c")];
  const small = asking({ cpu: "1" }, CRITICAL, "small");
  assert.deepEqual(namesOf(planPreemption(small, crowd, shortagesFor(small, crowd))), ["best"]);
});

test("planPreemption() says in upstream's words when nothing is enough", () => {
  const critical = asking({ cpu: "3" }, CRITICAL, "critical");
  assert.throws(() => planPreemption(critical, [], shortagesFor(critical, [])), {
    message:
      "preemption: error finding a set of pods to preempt: no set of running pods found to reclaim resources: [(res: cpu, q: 1000), ]",
  });
});

test("planPreemption() always makes enough room and never ends a critical pod", () => {
  const any = fc.record({ cpu: fc.integer({ min: 0, max: 900 }), critical: fc.boolean() });
  fc.assert(
    fc.property(fc.array(any, { maxLength: 3 }), fc.integer({ min: 1, max: 2000 }), (list, cpu) => {
      const running = list.map((p, i) => asking({ cpu: `${p.cpu}m` }, p.critical ? CRITICAL : {}, `p${i}`));
      const critical = asking({ cpu: `${cpu}m` }, CRITICAL, "critical");
      let victims: Pod[];
      try {
        victims = planPreemption(critical, running, shortagesFor(critical, running));
      } catch {
        const spared = running.filter((p) => p.spec?.priority !== undefined);
        assert.ok(shortagesFor(critical, spared).length > 0, "refused though there was room to make");
        return;
      }
      assert.ok(victims.every((p) => p.spec?.priority === undefined));
      const left = running.filter((p) => !victims.includes(p));
      assert.deepEqual(shortagesFor(critical, left), []);
    }),
  );
});
