import assert from "node:assert/strict";
import test from "node:test";
import { checkSubPath } from "./sub-path.ts";

for (const { path, want } of [
  { path: "/etc", want: "error SubPath `/etc` must not be an absolute path" },
  { path: "a/../../etc", want: "unable to provision SubPath `a/../../etc`: must not contain '..'" },
  { path: "..", want: "unable to provision SubPath `..`: must not contain '..'" },
]) {
  test(`checkSubPath() refuses ${path}`, () => assert.throws(() => checkSubPath(path), { message: want }));
}

for (const path of ["a", "a/b", "..a", "a..", "..data/key", "a/./b", "a b\nc"]) {
  test(`checkSubPath() takes ${JSON.stringify(path)}`, () => checkSubPath(path));
}
