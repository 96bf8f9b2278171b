import assert from "node:assert/strict";
import test from "node:test";
import { refuseImageSubPath } from "./image-sub-path.ts";

const rows = [
  { name: "containerd", version: "1.7.24~ds1", can: false },
  { name: "containerd", version: "2.1.9+unknown", can: false },
  { name: "containerd", version: "v2.2.0", can: true },
  { name: "containerd", version: "2.10.1", can: true },
  { name: "containerd", version: "3.0.0", can: true },
  { name: "containerd", version: "main", can: true },
  { name: "cri-o", version: "1.33.1", can: true },
  { name: "docker", version: "20.10.24", can: true },
];
for (const { name, version, can } of rows) {
  test(`refuseImageSubPath() ${can ? "leaves it to" : "refuses"} ${name} ${version}`, () => {
    const why = refuseImageSubPath({ runtimeName: name, runtimeVersion: version, runtimeApiVersion: "v1" });
    if (can) assert.equal(why, undefined);
    else assert.match(why ?? "", /needs containerd 2.2 or later, and this is \d/);
  });
}

test("refuseImageSubPath() leaves it to a runtime that has not told its version yet", () => {
  assert.equal(refuseImageSubPath(undefined), undefined);
});
