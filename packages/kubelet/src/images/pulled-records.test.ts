import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createLogger } from "@knarr/daemon/logger.ts";
import type { Credential } from "./pull-secrets.ts";
import { PulledRecords, type VerificationPolicy } from "./pulled-records.ts";

const log = createLogger({ name: "test", level: "silent" });
const IMAGE = "registry.example:5000/team/app:1";
const REF = "sha256:1";
const credential = (username: string, name = "pull"): Credential => ({
  auth: { username, password: "secret" },
  source: { uid: `uid-${name}`, namespace: "ns", name },
});

async function inFolder(
  work: (
    open: (policy?: VerificationPolicy, allowlist?: readonly string[]) => PulledRecords,
    rootDir: string,
  ) => Promise<void>,
): Promise<void> {
  const rootDir = await mkdtemp(join(tmpdir(), "knarr-pulled-"));
  try {
    const byDefault = "NeverVerifyPreloadedImages" as const;
    await work((policy = byDefault, allowlist = []) => new PulledRecords({ rootDir, policy, allowlist, log }), rootDir);
  } finally {
    await rm(rootDir, { recursive: true });
  }
}

async function pull(records: PulledRecords, used: Credential | undefined, image = IMAGE): Promise<void> {
  await records.begin(image);
  await records.end(image, { imageRef: REF, credential: used });
}

test("PulledRecords.mayUse() lets in who has the credentials that the image was pulled with, also after a restart", () =>
  inFolder(async (open) => {
    await pull(open(), credential("ann"));
    const records = open();
    assert.equal(await records.mayUse(IMAGE, REF, []), false);
    assert.equal(await records.mayUse(IMAGE, REF, [credential("bob")]), false);
    assert.equal(await records.mayUse(IMAGE, REF, [credential("ann")]), true);
    assert.equal(await records.mayUse(IMAGE, REF, [credential("ann", "same-in-another-secret")]), true);
    assert.equal(await records.mayUse("registry.example:5000/team/app@sha256:2", REF, [credential("ann")]), true);
    assert.equal(await records.mayUse("registry.example:5000/other/app:1", REF, [credential("ann")]), false);
  }));

test("PulledRecords keeps one entry per secret, the newest, and of a public image that everybody may use it", () =>
  inFolder(async (open) => {
    const records = open();
    await pull(records, credential("ann"));
    await pull(records, credential("changed"));
    assert.equal(await records.mayUse(IMAGE, REF, [credential("ann")]), false);
    assert.equal(await records.mayUse(IMAGE, REF, [credential("changed")]), true);
    await pull(records, undefined);
    assert.equal(await records.mayUse(IMAGE, REF, []), true);
    await pull(records, credential("ann"));
    assert.equal(await records.mayUse(IMAGE, REF, []), true);
  }));

test("PulledRecords.mayUse() lets everybody use what was there before, but not what a pull may have brought", () =>
  inFolder(async (open) => {
    assert.equal(await open().mayUse(IMAGE, REF, []), true);
    await open().begin(IMAGE);
    const restarted = open();
    assert.equal(await restarted.mayUse(IMAGE, REF, [credential("ann")]), false);
    await restarted.begin(IMAGE);
    await restarted.end(IMAGE);
    assert.equal(await restarted.mayUse(IMAGE, REF, []), true);
  }));

test("PulledRecords.end() keeps the intent while another pull of the image goes on", () =>
  inFolder(async (open, rootDir) => {
    const records = open();
    await records.begin(IMAGE);
    await records.begin(IMAGE);
    await records.end(IMAGE);
    assert.equal((await readdir(join(rootDir, "image_manager", "pulling"))).length, 1);
    await records.end(IMAGE);
    assert.deepEqual(await readdir(join(rootDir, "image_manager", "pulling")), []);
  }));

const POLICIES: readonly [policy: VerificationPolicy, allowlist: readonly string[], want: boolean][] = [
  ["NeverVerify", [], true],
  ["NeverVerifyPreloadedImages", [], true],
  ["AlwaysVerify", [], false],
  ["NeverVerifyAllowlistedImages", [], false],
  ["NeverVerifyAllowlistedImages", ["registry.example:5000/team/*"], true],
  ["NeverVerifyAllowlistedImages", ["registry.example:5000/team/app"], true],
  ["NeverVerifyAllowlistedImages", ["registry.example:5000/tea"], false],
];
for (const [policy, allowlist, want] of POLICIES) {
  test(`PulledRecords.mayUse() of an image that was there before is ${want} by ${policy} [${allowlist.join()}]`, () =>
    inFolder(async (open) => assert.equal(await open(policy, allowlist).mayUse(IMAGE, REF, []), want)));
}

test("PulledRecords lets nobody in by a damaged record, and forgets images that are gone", () =>
  inFolder(async (open, rootDir) => {
    const records = open();
    await pull(records, undefined);
    const folder = join(rootDir, "image_manager", "pulled");
    const [name = ""] = await readdir(folder);
    await writeFile(join(folder, name), "{");
    assert.equal(await records.mayUse(IMAGE, REF, []), false);
    await records.prune(new Set([REF]));
    assert.deepEqual(await readdir(folder), [name]);
    await records.prune(new Set(["sha256:other"]));
    assert.deepEqual(await readdir(folder), []);
  }));

test("PulledRecords: pulls that run side by side lose none of what each of them found", () =>
  inFolder(async (open, rootDir) => {
    const records = open();
    const users = ["ann", "bob", "eve", "joe"];
    await Promise.all(users.map((user) => pull(records, credential(user, user))));
    for (const user of users) assert.equal(await records.mayUse(IMAGE, REF, [credential(user)]), true, user);
    assert.equal(await records.mayUse(IMAGE, REF, []), false);
    assert.deepEqual(await readdir(join(rootDir, "image_manager", "pulling")), []);
  }));

test("PulledRecords.end(): a record that can't be written fails no pull, and the next pod pulls again", () =>
  inFolder(async (open, rootDir) => {
    const records = open();
    await records.begin(IMAGE);
    // No folder can be made here: a file is in its place.
    await writeFile(join(rootDir, "image_manager", "pulled"), "");
    await records.end(IMAGE, { imageRef: REF, credential: credential("ann") });
    await rm(join(rootDir, "image_manager", "pulled"));
    assert.equal(await open().mayUse(IMAGE, REF, []), false);
    await pull(records, credential("ann"));
    assert.equal(await records.mayUse(IMAGE, REF, [credential("ann")]), true);
  }));
