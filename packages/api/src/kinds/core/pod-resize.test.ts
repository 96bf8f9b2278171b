import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "../../generated/types/core-v1.ts";
import { created, updated } from "../kind-fixture.ts";

type Resources = { requests?: Record<string, string>; limits?: Record<string, string> };
const podOf = (resources: Resources, more: object = {}, metadata: object = {}) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "p", ...metadata },
  spec: { containers: [{ name: "c", image: "i", resources }], ...more },
});
const burstable: Resources = { requests: { cpu: "1", memory: "1Gi" }, limits: { cpu: "2" } };

function resized(manifest: ReturnType<typeof podOf>, change: (resources: Resources, pod: Pod) => void): string[] {
  return updated(
    created(manifest).object,
    (object) => {
      const pod = object as unknown as Pod;
      const [container] = pod.spec?.containers ?? [];
      assert.ok(container);
      container.resources ??= {};
      change(container.resources as Resources, pod);
    },
    "resize",
  ).errors;
}

const rows: {
  name: string;
  pod: ReturnType<typeof podOf>;
  change: (resources: Resources, pod: Pod) => void;
  want: string[];
}[] = [
  {
    name: "nothing when requests and limits change and the class stays",
    pod: podOf(burstable),
    change: (r) => Object.assign(r, { requests: { cpu: "500m", memory: "2Gi" }, limits: { cpu: "3" } }),
    want: [],
  },
  {
    name: "nothing when a limit is added and the class stays",
    pod: podOf({ requests: { cpu: "1" } }),
    change: (r) => Object.assign(r, { limits: { cpu: "2" } }),
    want: [],
  },
  {
    name: "that the class changes when a Burstable pod would become Guaranteed",
    pod: podOf({ requests: { cpu: "1", memory: "1Gi" }, limits: { cpu: "1", memory: "2Gi" } }),
    change: (r) => Object.assign(r, { requests: { cpu: "1", memory: "2Gi" } }),
    want: [`spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing`],
  },
  {
    name: "that the class changes when a BestEffort pod asks for something",
    pod: podOf({}),
    change: (r) => Object.assign(r, { requests: { cpu: "1" } }),
    want: [`spec: Invalid value: "BestEffort": Pod QOS Class may not change as a result of resizing`],
  },
  {
    name: "what was removed",
    pod: podOf(burstable),
    change: (r) => {
      delete r.limits;
      delete r.requests?.memory;
    },
    want: [
      "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
      "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed",
    ],
  },
  {
    name: "that other resources stay",
    pod: podOf(burstable),
    change: (r) => Object.assign(r.requests ?? {}, { "ephemeral-storage": "1Gi" }),
    want: ["spec: Forbidden: only cpu and memory resources are mutable"],
  },
  {
    name: "that mirror pods can't be resized",
    pod: podOf(burstable, {}, { annotations: { "kubernetes.io/config.mirror": "x" } }),
    change: (r) => Object.assign(r.requests ?? {}, { cpu: "100m" }),
    want: [": Forbidden: static pods cannot be resized"],
  },
  {
    name: "that a request lies above its limit",
    pod: podOf(burstable),
    change: (r) => Object.assign(r.requests ?? {}, { cpu: "5" }),
    want: [`spec.containers[0].resources.requests: Invalid value: "5": must be less than or equal to cpu limit of 2`],
  },
];

for (const { name, pod, change, want } of rows) {
  test(`validatePodResize() says ${name}`, () => assert.deepEqual(resized(pod, change), want));
}

test("validatePodResize() refuses when the running container's status has no resources", () => {
  const { object } = created(podOf(burstable));
  const pod = object as unknown as Pod;
  pod.status = {
    containerStatuses: [{ name: "c", image: "i", imageID: "", ready: true, restartCount: 0, state: { running: {} } }],
  };
  const { errors } = updated(
    object,
    (changed) =>
      Object.assign((changed as unknown as Pod).spec?.containers[0]?.resources?.requests ?? {}, { cpu: "2" }),
    "resize",
  );
  assert.deepEqual(errors, ["spec: Forbidden: Pod running on node without support for resize"]);
});
