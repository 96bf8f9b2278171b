import assert from "node:assert/strict";
import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { test } from "node:test";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { createLogger } from "@knarr/daemon/logger.ts";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import { Auditor } from "../../audit/auditor.ts";
import { METADATA_POLICY } from "../../audit/policy.ts";
import { RequestContext } from "../request-context.ts";
import { parseRequestInfo } from "../request-info.ts";
import { audit, auditReceived } from "./audit.ts";
import { errors } from "./errors.ts";
import { chain, type FilterEnvironment } from "./filter.ts";

const clock = new FakeClock();

/** The audit events of a request that ends as `handler` does. */
async function eventsOf(handler: () => Promise<void>): Promise<{ stage: string; code: number; reason?: string }[]> {
  const lines: string[] = [];
  const sink = { write: (line: string) => void lines.push(line), close: () => Promise.resolve() };
  const policy = { ...METADATA_POLICY, omitStages: [] };
  const request = new IncomingMessage(new Socket());
  request.method = "GET";
  const context = new RequestContext({
    request,
    response: new ServerResponse(request),
    path: "/api/v1/pods",
    query: new URLSearchParams(),
    info: parseRequestInfo("GET", "/api/v1/pods", new URLSearchParams()),
    receivedAtMs: clock.now(),
  });
  const env = {
    log: createLogger({ name: "test", level: "silent" }),
    clock,
    audit: new Auditor({ policy, sinks: [sink], clock }),
  } as unknown as FilterEnvironment;
  context.user = { name: "u", uid: "", groups: [], extra: {} };
  await chain([audit, errors, auditReceived], env, handler)(context);
  return lines.slice(1).map((line) => {
    const { stage, responseStatus } = JSON.parse(line);
    return { stage, code: responseStatus.code, ...(responseStatus.reason && { reason: responseStatus.reason }) };
  });
}

const CASES: readonly { name: string; error: Error; want: object }[] = [
  {
    name: "ends with ResponseComplete when the request is refused",
    error: statusErrors.notFound({ group: "", resource: "pods" }, "p"),
    want: { stage: "ResponseComplete", code: 404, reason: "NotFound" },
  },
  {
    name: "ends with Panic when the handler fails by a bug",
    error: new TypeError("undefined is not a function"),
    want: { stage: "Panic", code: 500, reason: "InternalError" },
  },
];
for (const { name, error, want } of CASES) {
  test(`audit() ${name}`, async () => {
    assert.deepEqual(await eventsOf(() => Promise.reject(error)), [want]);
  });
}
