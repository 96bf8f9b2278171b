import assert from "node:assert/strict";
import { test } from "node:test";
import type { LifecycleHandler } from "@knarr/api/generated/types/core-v1.ts";
import { container, pod } from "../core/testing.ts";
import { HookFailure, hookFailureMessage } from "./lifecycle-hook.ts";

const CASES: readonly [handler: LifecycleHandler, error: Error, want: string][] = [
  [
    { exec: { command: ["sh", "-c", "exit 3"] } },
    new HookFailure("command 'sh -c exit 3' exited with 3: no", "well no"),
    'Exec lifecycle hook ([sh -c exit 3]) for Container "main" in Pod "p_ns(u1)" failed - error: command \'sh -c exit 3\' exited with 3: no, message: "well no"',
  ],
  [
    { httpGet: { path: "/up", port: 80 } },
    new Error("HTTP handler failed with statuscode: 500"),
    'HTTP lifecycle hook (/up) for Container "main" in Pod "p_ns(u1)" failed - error: HTTP handler failed with statuscode: 500',
  ],
  [{ tcpSocket: { port: 80 } }, new Error("invalid handler"), "Cannot run handler: invalid handler"],
];
for (const [handler, error, want] of CASES) {
  test(`hookFailureMessage() of ${Object.keys(handler)[0]} is upstream's`, () => {
    assert.equal(hookFailureMessage(handler, container("main"), pod(), error), want);
  });
}
