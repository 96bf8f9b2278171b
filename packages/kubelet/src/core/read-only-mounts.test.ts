import assert from "node:assert/strict";
import test from "node:test";
import { refuseRecursiveReadOnly } from "./read-only-mounts.ts";

const rows = [
  { name: "asks for nothing", mount: {}, supported: false },
  { name: "may have less", mount: { recursiveReadOnly: "IfPossible", readOnly: true }, supported: false },
  { name: "can have it", mount: { recursiveReadOnly: "Enabled", readOnly: true }, supported: true },
  {
    name: "needs what the runtime lacks",
    mount: { recursiveReadOnly: "Enabled", readOnly: true },
    supported: false,
    want: "not supported by the runtime",
  },
  { name: "may be written to", mount: { recursiveReadOnly: "Enabled" }, supported: true, want: "not read-only" },
  {
    name: "is propagated",
    mount: { recursiveReadOnly: "Enabled", readOnly: true, mountPropagation: "Bidirectional" },
    supported: true,
    want: 'not compatible with propagation "Bidirectional"',
  },
];

for (const { name, mount, supported, want } of rows) {
  test(`refuseRecursiveReadOnly() ${want === undefined ? "lets pass" : "refuses"} a mount that ${name}`, () => {
    const why = refuseRecursiveReadOnly({ name: "v", mountPath: "/v", ...mount }, supported);
    const text = `volume "v" requested recursive read-only mode, but it is ${want}`;
    assert.equal(why, want === undefined ? undefined : text);
  });
}
