import assert from "node:assert/strict";
import test from "node:test";
import type { Container, Pod } from "@knarr/api/generated/types/core-v1.ts";
import fc from "fast-check";
import { parseCpuState, renderCpuState } from "./cpu-state.ts";
import { allocateCpus, initialState, releaseCpus, type StaticPolicy, stateComplaint } from "./static-policy.ts";

/** Four cores of two threads: 0+4, 1+5, 2+6, 3+7. */
const TOPOLOGY = Array.from({ length: 8 }, (_, id) => ({ id, core: id % 4, socket: 0, node: 0 }));
const POLICY: StaticPolicy = {
  ...{ topology: TOPOLOGY, reserved: new Set([0]), fullPcpusOnly: false, strictReservation: false },
};

function container(name: string, cpu: string, more: Partial<Container> = {}): Container {
  const amounts = { cpu, memory: "1Gi" };
  return { name, resources: { requests: amounts, limits: amounts }, ...more };
}

function pod(uid: string, containers: Container[], initContainers: Container[] = []): Pod {
  return { metadata: { uid, name: uid }, spec: { containers, initContainers } };
}

function given(policy: StaticPolicy, ...pods: Pod[]) {
  let state = initialState(policy);
  for (const next of pods) {
    const after = allocateCpus(policy, state, next);
    if ("reason" in after) return after;
    state = after;
  }
  const own = [...state.assignments].map(([uid, containers]) => [uid, Object.fromEntries(containers)]);
  return { shared: state.shared, ...Object.fromEntries(own) };
}

const TABLE: readonly { name: string; policy?: Partial<StaticPolicy>; pods: Pod[]; want: object }[] = [
  {
    name: "gives whole cores of the unreserved processors",
    pods: [pod("a", [container("main", "2")])],
    want: { shared: [0, 2, 3, 4, 6, 7], a: { main: [1, 5] } },
  },
  {
    name: "leaves fractions in the shared pool",
    pods: [pod("a", [container("main", "1500m")])],
    want: { shared: [0, 1, 2, 3, 4, 5, 6, 7] },
  },
  {
    name: "leaves pods that are not Guaranteed in the shared pool",
    pods: [pod("a", [{ name: "main", resources: { requests: { cpu: "2" } } }])],
    want: { shared: [0, 1, 2, 3, 4, 5, 6, 7] },
  },
  {
    name: "gives an init container's processors to the others, a sidecar's not",
    pods: [
      pod(
        "a",
        [container("main", "1"), container("side", "500m")],
        [container("sidecar", "1", { restartPolicy: "Always" }), container("init", "2")],
      ),
    ],
    want: { shared: [0, 2, 3, 6, 7], a: { sidecar: [4], init: [1, 5], main: [1] } },
  },
  {
    name: "refuses what is not there",
    pods: [pod("a", [container("main", "5")]), pod("b", [container("main", "3")])],
    want: {
      reason: "UnexpectedAdmissionError",
      message:
        "Allocate failed due to not enough cpus available to satisfy request: requested=3, available=2, which is unexpected",
    },
  },
  {
    name: "refuses half a core where only whole ones are given",
    policy: { fullPcpusOnly: true },
    pods: [pod("a", [container("main", "3")])],
    want: {
      reason: "SMTAlignmentError",
      message: "SMT Alignment Error: requested 3 cpus not multiple cpus per core = 2",
    },
  },
  {
    name: "refuses when too few whole cores are left",
    policy: { fullPcpusOnly: true },
    pods: [pod("a", [container("main", "8")])],
    want: {
      reason: "SMTAlignmentError",
      message:
        "SMT Alignment Error: not enough free physical CPUs: available physical CPUs = 6, requested CPUs = 8, CPUs per core = 2",
    },
  },
  {
    name: "shares no strictly reserved processor",
    policy: { strictReservation: true },
    pods: [pod("a", [container("main", "2")])],
    want: { shared: [2, 3, 4, 6, 7], a: { main: [1, 5] } },
  },
];

for (const { name, policy, pods, want } of TABLE) {
  test(`allocateCpus() ${name}`, () => {
    assert.deepEqual(given({ ...POLICY, ...policy }, ...pods), want);
  });
}

const COMPLAINTS = [
  [
    "the reserved are elsewhere",
    [1, 2, 3, 4, 5, 6, 7],
    [],
    'not all reserved cpus: "0" are present in defaultCpuSet: "1-7"',
  ],
  ["one has what all have", [0, 1], [1], 'pod: a, container: main cpuset: "1" overlaps with default cpuset "0-1"'],
  ["the machine has others", [0, 1], [2], `current set of available CPUs "0-7" doesn't match with CPUs in state "0-2"`],
  ["nothing is wrong", [0, 1, 2, 3, 4, 5], [6, 7], undefined],
] as const;

for (const [when, shared, main, want] of COMPLAINTS) {
  test(`stateComplaint() tells when ${when}`, () => {
    const assignments = new Map([["a", new Map([["main", main]])]]);
    assert.equal(stateComplaint(POLICY, { policy: "static", shared, assignments }), want);
  });
}

test("pods come and go: no processor is two pods', none is lost, and what is written reads back", () => {
  const steps = fc.array(fc.tuple(fc.constantFrom("a", "b", "c", "d"), fc.nat(4), fc.nat(3)), { maxLength: 20 });
  fc.assert(
    fc.property(steps, fc.boolean(), fc.boolean(), (list, fullPcpusOnly, strictReservation) => {
      const policy = { ...POLICY, fullPcpusOnly, strictReservation };
      let state = initialState(policy);
      for (const [uid, main, init] of list) {
        if (state.assignments.has(uid)) state = releaseCpus(policy, state, (other) => other !== uid);
        else {
          const wants = pod(uid, [container("main", `${main}`)], init === 0 ? [] : [container("init", `${init}`)]);
          const next = allocateCpus(policy, state, wants);
          if (!("reason" in next)) state = next;
        }
        assert.equal(stateComplaint(policy, state), undefined);
        const held = [...state.assignments.values()].map((containers) => [...new Set([...containers.values()].flat())]);
        assert.equal(held.flat().length, new Set(held.flat()).size);
        const sorted = { ...state, shared: state.shared.toSorted((x, y) => x - y) };
        assert.deepEqual(parseCpuState(renderCpuState(state)), sorted);
      }
    }),
    { verbose: 1 },
  );
});
