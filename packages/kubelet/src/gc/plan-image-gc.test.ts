import assert from "node:assert/strict";
import test from "node:test";
import type { Image } from "@knarr/cri/types.ts";
import { imageInInfo } from "./image-gc.ts";
import {
  bytesToFree,
  type ImageRecords,
  outdatedImages,
  readableBytes,
  recordImages,
  removableImages,
} from "./plan-image-gc.ts";

const MINUTE = 60_000;
const POLICY = { highPercent: 85, lowPercent: 80, minAgeMs: 2 * MINUTE, maxAgeMs: 0 };

function image(id: string, more: Partial<Image> = {}): Image {
  return {
    id,
    repoTags: [`${id}:1`],
    repoDigests: [],
    sizeBytes: 10,
    uid: undefined,
    username: "",
    pinned: false,
    ...more,
  };
}

/** Looks at the same images at the given minutes, with what was used then. */
function watch(
  images: readonly Image[],
  looks: readonly (readonly [minute: number, ...inUse: string[]])[],
): ImageRecords {
  return looks.reduce<ImageRecords>(
    (records, [minute, ...inUse]) => recordImages(records, images, new Set(inUse), minute * MINUTE),
    new Map(),
  );
}

const names = (records: readonly { image: Image }[]) => records.map((r) => r.image.id);

test("removableImages() gives the longest unused first and spares what is used, pinned or young", () => {
  const images = [image("a"), image("b"), image("c"), image("used"), image("pinned", { pinned: true })];
  const records = watch(images, [
    [1, "a:1", "used"],
    [5, "b", "used"],
    [10, "used"],
  ]);
  assert.deepEqual(names(removableImages(records, 10 * MINUTE, POLICY.minAgeMs)), ["c", "a", "b"]);
  assert.deepEqual(names(removableImages(watch(images, [[0], [1]]), MINUTE, POLICY.minAgeMs)), []);
});

test("recordImages() forgets images that are gone", () => {
  const records = recordImages(watch([image("a"), image("b")], [[0]]), [image("b")], new Set(), MINUTE);
  assert.deepEqual([...records.keys()], ["b"]);
});

const spaces = [
  { available: 16, want: 0 },
  { available: 15, want: 5 },
  { available: 3, want: 17 },
  { available: 0, want: 20 },
  { available: 200, want: 0 },
];
for (const { available, want } of spaces) {
  test(`bytesToFree() is ${want} of 100 when ${available} are free`, () => {
    assert.equal(bytesToFree({ capacityBytes: 100, availableBytes: available }, POLICY), want);
  });
}

test("outdatedImages() judges by age once it has watched for that long", () => {
  const policy = { ...POLICY, maxAgeMs: 10 * MINUTE };
  const images = [image("old"), image("recent")];
  const records = watch(images, [[0], [8, "recent"]]);
  assert.deepEqual(names(outdatedImages(records, 9 * MINUTE, policy, 0)), []);
  assert.deepEqual(names(outdatedImages(records, 11 * MINUTE, policy, 0)), ["old"]);
  assert.deepEqual(names(outdatedImages(records, 11 * MINUTE, POLICY, 0)), []);
});

test("readableBytes() rounds as people read", () => {
  assert.deepEqual([0, 1023, 1536, 28_346_818_560].map(readableBytes), ["0 B", "1023 B", "1.5 KiB", "26.4 GiB"]);
});

test("imageInInfo() finds the sandbox's image in containerd's words and nothing in others'", () => {
  assert.equal(imageInInfo('{"pid":1,"image":"registry.k8s.io/pause:3.6"}'), "registry.k8s.io/pause:3.6");
  for (const other of ["", "text", "{}", '{"image":3}']) assert.equal(imageInInfo(other), undefined);
});
