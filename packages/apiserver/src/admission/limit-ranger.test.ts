import assert from "node:assert/strict";
import { test } from "node:test";
import { core } from "@knarr/api/generated/resources.ts";
import type { LimitRangeItem, PodSpec, ResourceRequirements } from "@knarr/api/generated/types/core-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { admitWith } from "./fake-admission.ts";
import { limitRanger } from "./limit-ranger.ts";

const range = (...limits: LimitRangeItem[]) =>
  [core.limitranges, { metadata: { name: "limits", namespace: "ns" }, spec: { limits } } as KubeObject] as const;
const pod = (spec: Partial<PodSpec>) => ({ metadata: { name: "p" }, spec: { containers: [], ...spec } }) as KubeObject;
const container = (name: string, resources?: ResourceRequirements) => ({ name, image: "i", resources });
const one = (resources: ResourceRequirements) => pod({ containers: [container("c", resources)] });

test("limitRanger sets defaults of containers and notes what it set", async () => {
  const limits = range({
    type: "Container",
    default: { cpu: "1", memory: "1Gi" },
    defaultRequest: { cpu: "500m", memory: "512Mi" },
  });
  const object = pod({
    containers: [container("a"), container("b", { requests: { cpu: "2" }, limits: { cpu: "2", memory: "2Gi" } })],
    initContainers: [container("i", { limits: { cpu: "1" }, requests: { cpu: "1", memory: "1" } })],
  });
  const { object: admitted } = await admitWith(limitRanger, { ref: core.pods, object }, [limits]);
  const result = admitted as unknown as { metadata: { annotations: object }; spec: PodSpec };
  assert.deepEqual(result.spec.containers[0]?.resources, {
    requests: { cpu: "500m", memory: "512Mi" },
    limits: { cpu: "1", memory: "1Gi" },
  });
  assert.deepEqual(result.spec.containers[1]?.resources, {
    requests: { cpu: "2", memory: "512Mi" },
    limits: { cpu: "2", memory: "2Gi" },
  });
  assert.deepEqual(result.metadata.annotations, {
    "kubernetes.io/limit-ranger":
      "LimitRanger plugin set: cpu, memory request for container a; cpu, memory limit for container a; " +
      "memory request for container b; memory limit for init container i",
  });
});

const rows: { name: string; item: LimitRangeItem; object: KubeObject; want: string | undefined }[] = [
  {
    name: "a request is below the minimum",
    item: { type: "Container", min: { cpu: "100m" } },
    object: one({ requests: { cpu: "50m" } }),
    want: "minimum cpu usage per Container is 100m, but request is 50m",
  },
  {
    name: "there is no request",
    item: { type: "Container", min: { cpu: "100m" } },
    object: one({}),
    want: "minimum cpu usage per Container is 100m.  No request is specified",
  },
  {
    name: "a limit is above the maximum, another is missing",
    item: { type: "Container", max: { cpu: "1", memory: "1Gi" } },
    object: one({ limits: { cpu: "2" } }),
    want: "[maximum cpu usage per Container is 1, but limit is 2, maximum memory usage per Container is 1Gi.  No limit is specified]",
  },
  {
    name: "a limit is far above its request",
    item: { type: "Container", maxLimitRequestRatio: { cpu: "2" } },
    object: one({ requests: { cpu: "100m" }, limits: { cpu: "250m" } }),
    want: "cpu max limit to request ratio per Container is 2, but provided ratio is 2.500000",
  },
  {
    name: "the pod as a whole is too large",
    item: { type: "Pod", max: { memory: "1Gi" } },
    object: pod({
      containers: [container("a", { limits: { memory: "600Mi" } }), container("b", { limits: { memory: "600Mi" } })],
    }),
    want: "maximum memory usage per Pod is 1Gi, but limit is 1200Mi",
  },
  {
    name: "everything is within",
    item: { type: "Container", min: { cpu: "100m" }, max: { cpu: "1" } },
    object: one({ requests: { cpu: "100m" }, limits: { cpu: "1" } }),
    want: undefined,
  },
];
for (const { name, item, object, want } of rows) {
  test(`limitRanger ${want === undefined ? "admits" : "refuses"} when ${name}`, async () => {
    const { refusal, code } = await admitWith(limitRanger, { ref: core.pods, object }, [range(item)]);
    assert.equal(refusal, want === undefined ? undefined : `pods "p" is forbidden: ${want}`);
    assert.equal(code, want === undefined ? undefined : 403);
  });
}

test("limitRanger bounds the size of claims", async () => {
  const limits = range({ type: "PersistentVolumeClaim", min: { storage: "1Gi" }, max: { storage: "2Gi" } });
  const claim = (storage: string) =>
    ({ metadata: { name: "d" }, spec: { resources: { requests: { storage } } } }) as KubeObject;
  const refusal = async (storage: string) =>
    (await admitWith(limitRanger, { ref: core.persistentvolumeclaims, object: claim(storage) }, [limits])).refusal;
  assert.equal(await refusal("1Gi"), undefined);
  assert.match(
    (await refusal("500Mi")) ?? "",
    /minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 500Mi$/,
  );
  assert.match(
    (await refusal("3Gi")) ?? "",
    /maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi$/,
  );
});

test("limitRanger leaves updates of pods alone", async () => {
  const object = one({ requests: { cpu: "1m" } });
  const limits = range({ type: "Container", min: { cpu: "1" } });
  const { refusal } = await admitWith(limitRanger, { operation: "UPDATE", ref: core.pods, object, oldObject: object }, [
    limits,
  ]);
  assert.equal(refusal, undefined);
});
