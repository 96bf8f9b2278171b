import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { test } from "node:test";
import type { Client } from "@knarr/client/client.ts";
import { createLogger } from "@knarr/daemon/logger.ts";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import { Authorizer, subresourcesOf } from "./authorize.ts";
import { HttpError } from "./http-error.ts";

const PATHS: readonly [path: string, want: readonly string[]][] = [
  ["/stats/summary", ["stats"]],
  ["/metrics/cadvisor", ["metrics"]],
  ["/logs/", ["log"]],
  ["/checkpoint/ns/pod/c", ["checkpoint"]],
  ["/pods", ["pods", "proxy"]],
  ["/runningpods/", ["pods", "proxy"]],
  ["/healthz/syncloop", ["healthz", "proxy"]],
  ["/configz", ["configz", "proxy"]],
  ["/configzz", ["proxy"]],
  ["/exec/ns/pod/c", ["proxy"]],
];
for (const [path, want] of PATHS) {
  test(`subresourcesOf() of ${path} is [${want.join(" ")}]`, () => assert.deepEqual(subresourcesOf(path), want));
}

/** An API server that knows one token, allows what is listed, and is away where it is told to be. */
function ask(path: string, { token = "good", allows = [] as string[], away = "" } = {}): Promise<unknown> {
  const create = async (ref: { resource: string }, review: { spec: Record<string, unknown> }) => {
    if (ref.resource === away) throw new Error("away");
    if (ref.resource === "tokenreviews") {
      return { status: { authenticated: review.spec.token === "good", user: { username: "ann", groups: ["devs"] } } };
    }
    const { subresource } = review.spec.resourceAttributes as { subresource: string };
    return { status: { allowed: allows.includes(subresource) } };
  };
  const authorizer = new Authorizer({
    client: { create } as unknown as Client,
    clock: new FakeClock(),
    nodeName: "node-1",
    anonymous: false,
    mode: "Webhook",
    log: createLogger({ name: "test", level: "silent" }),
  });
  const headers = { authorization: `Bearer ${token}` };
  return authorizer.check({ method: "GET", headers, socket: {} } as unknown as IncomingMessage, path).then(
    (user) => user.name,
    (error: unknown) => (error instanceof HttpError ? `${error.status} ${error.message}` : error),
  );
}

const ANSWERS: readonly [path: string, given: Parameters<typeof ask>[1], want: string][] = [
  ["/pods", { allows: ["pods"] }, "ann"],
  ["/pods", { allows: ["proxy"] }, "ann"],
  ["/pods", {}, "403 Forbidden (user=ann, verb=get, resource=nodes, subresource(s)=[pods proxy])\n"],
  [
    "/stats/summary",
    { allows: ["proxy"] },
    "403 Forbidden (user=ann, verb=get, resource=nodes, subresource(s)=[stats])\n",
  ],
  ["/pods", { token: "bad" }, "401 Unauthorized"],
  ["/pods", { away: "tokenreviews" }, "401 Unauthorized"],
  [
    "/pods",
    { away: "subjectaccessreviews" },
    "500 Authorization error (user=ann, verb=get, resource=nodes, subresource=pods)",
  ],
];
for (const [path, given, want] of ANSWERS) {
  test(`Authorizer.check() of ${path} gives ${JSON.stringify(want)} for ${JSON.stringify(given)}`, async () => {
    assert.equal(await ask(path, given), want);
  });
}
