import assert from "node:assert/strict";
import test from "node:test";
import type { PersistentVolume } from "@knarr/api/generated/types/core-v1.ts";
import { FINALIZER, folderOf, planVolume } from "./plan-volume.ts";

const uid = "0b2f5f5e-8d3c-4c53-9d5e-5ad0a1f7a001";
const volume = (more: {
  policy?: string;
  phase?: string;
  finalizers?: string[];
  deleting?: boolean;
  path?: string;
}): PersistentVolume => ({
  metadata: {
    name: `pvc-${uid}`,
    finalizers: more.finalizers ?? [FINALIZER],
    ...(more.deleting === true ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {}),
  },
  spec: { persistentVolumeReclaimPolicy: more.policy ?? "Delete", local: { path: more.path ?? "" } },
  status: { phase: more.phase ?? "Bound" },
});

for (const { name, path, want } of [
  { name: "a volume's folder", path: `/storage/pvc-${uid}`, want: `pvc-${uid}` },
  { name: "a folder further in", path: `/storage/x/pvc-${uid}`, want: undefined },
  { name: "a way out", path: `/storage/../etc/pvc-${uid}`, want: undefined },
  { name: "another name", path: "/storage/etc", want: undefined },
  { name: "the storage itself", path: "/storage", want: undefined },
  { name: "nothing", path: "", want: undefined },
]) {
  test(`folderOf() judges ${name}`, () => assert.equal(folderOf(volume({ path }), "/storage"), want));
}

for (const { name, of, gone, want } of [
  { name: "leaves a bound volume", of: {}, gone: false, want: { kind: "none" } },
  { name: "reclaims a released one", of: { phase: "Released" }, gone: true, want: { kind: "reclaim" } },
  { name: "keeps one whose claim is there after all", of: { phase: "Released" }, gone: false, want: { kind: "none" } },
  {
    name: "reclaims one deleted by hand",
    of: { deleting: true, phase: "Available" },
    gone: true,
    want: { kind: "reclaim" },
  },
  { name: "waits with a deleted one that is in use", of: { deleting: true }, gone: false, want: { kind: "none" } },
  {
    name: "leaves what others hold",
    of: { deleting: true, phase: "Released", finalizers: ["x"] },
    gone: true,
    want: { kind: "none" },
  },
  {
    name: "keeps the data of Retain",
    of: { policy: "Retain", phase: "Released", finalizers: [] },
    gone: true,
    want: { kind: "none" },
  },
  {
    name: "lets a retained object go",
    of: { policy: "Retain", deleting: true },
    gone: true,
    want: { kind: "finalizers", finalizers: [] },
  },
  {
    name: "guards a volume whose policy became Delete",
    of: { finalizers: ["x"] },
    gone: false,
    want: { kind: "finalizers", finalizers: ["x", FINALIZER] },
  },
]) {
  test(`planVolume() ${name}`, () => assert.deepEqual(planVolume(volume(of), gone), want));
}
