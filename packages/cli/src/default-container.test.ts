import assert from "node:assert/strict";
import test from "node:test";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { defaultContainer } from "./default-container.ts";

const containers = [{ name: "a" }, { name: "b" }];
const rows: { name: string; pod: Pod; want: ReturnType<typeof defaultContainer> }[] = [
  {
    name: "there is one",
    pod: { metadata: {}, spec: { containers: [{ name: "a" }] } },
    want: { name: "a", note: undefined },
  },
  {
    name: "there are several",
    pod: { metadata: {}, spec: { containers, initContainers: [{ name: "i" }], ephemeralContainers: [{ name: "e" }] } },
    want: { name: "a", note: 'Defaulted container "a" out of: a, b, e (ephem), i (init)\n' },
  },
  {
    name: "the pod says which",
    pod: { metadata: { annotations: { "kubectl.kubernetes.io/default-container": "b" } }, spec: { containers } },
    want: { name: "b", note: undefined },
  },
];
for (const { name, pod, want } of rows) {
  test(`defaultContainer() chooses and tells when ${name}`, () => {
    assert.deepEqual(defaultContainer(pod), want);
  });
}
