import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import type { Container } from "@knarr/api/generated/types/core-v1.ts";
import { container, pod } from "../core/testing.ts";
import type { MountedVolume } from "../volumes/volume.ts";
import { containerMounts } from "./container-mounts.ts";
import type { NodeFacts, PodContext } from "./pod-context.ts";

async function mountsOf(given: Container, volumes: Record<string, MountedVolume>, facts: Partial<NodeFacts> = {}) {
  const rootDir = await mkdtemp(join(tmpdir(), "knarr-mounts-"));
  try {
    await mkdir(join(rootDir, "pods/u1"), { recursive: true });
    const node = () => ({ seLinux: false, imageSubPathRefusal: undefined, handlers: new Map(), ...facts });
    const context = { config: { rootDir, clusterDomain: "c.l" }, node } as unknown as PodContext;
    return await containerMounts(context, {
      pod: pod({ containers: [given] }),
      container: given,
      volumes: new Map(Object.entries(volumes)),
      imageRefs: new Map([["image", "sha256:1"]]),
      podIps: ["10.0.0.2"],
      env: [],
    });
  } finally {
    await rm(rootDir, { recursive: true });
  }
}

const volumes: Record<string, MountedVolume> = {
  own: { path: "/volumes/own", readOnly: false, ownsData: true },
  host: { path: "/srv", readOnly: false, ownsData: false },
  image: { path: "", readOnly: true, ownsData: false, image: { reference: "data:1", pullPolicy: undefined } },
};
const mounting = (...names: string[]) =>
  container("main", { volumeMounts: names.map((name) => ({ name, mountPath: `/${name}` })) });

test("containerMounts() has the pod's own files labelled where SELinux is on, and nobody else's", async () => {
  const labelled = async (seLinux: boolean) =>
    (await mountsOf(mounting("own", "host", "image"), volumes, { seLinux }))
      .filter((m) => m.selinuxRelabel === true)
      .map((m) => m.containerPath);
  assert.deepEqual(await labelled(true), ["/own", "/etc/hosts", "/dev/termination-log"]);
  assert.deepEqual(await labelled(false), []);
});

test("containerMounts() names the image of an image volume as it was pulled, and its sub-path", async () => {
  const part = container("main", { volumeMounts: [{ name: "image", mountPath: "/data", subPath: "sub/deep" }] });
  const [mount] = await mountsOf(part, volumes);
  assert.deepEqual(mount, {
    containerPath: "/data",
    hostPath: "",
    readonly: true,
    image: { image: "sha256:1", userSpecifiedImage: "data:1" },
    imageSubPath: "sub/deep",
  });
  await assert.rejects(mountsOf(part, volumes, { imageSubPathRefusal: "too old" }), /too old/);
  const out = container("main", { volumeMounts: [{ name: "image", mountPath: "/data", subPath: "../.." }] });
  await assert.rejects(mountsOf(out, volumes), /must not contain '\.\.'/);
});
