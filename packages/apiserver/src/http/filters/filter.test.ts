import assert from "node:assert/strict";
import { test } from "node:test";
import type { RequestContext } from "../request-context.ts";
import { chain, type Filter, type FilterEnvironment } from "./filter.ts";

const env = {} as FilterEnvironment;
const context = {} as RequestContext;

/** Filters that write down their way in and out. */
function tracing(names: readonly string[], trace: string[]): Filter[] {
  return names.map((name) => async (request, _env, next) => {
    trace.push(name);
    await next(request);
    trace.push(`/${name}`);
  });
}

test("chain() runs the filters around the handler, outermost first", async () => {
  const trace: string[] = [];
  const run = chain(tracing(["a", "b"], trace), env, async () => void trace.push("handler"));
  await run(context);
  assert.deepEqual(trace, ["a", "b", "handler", "/b", "/a"]);
});

test("chain() makes a rejection of what a filter throws, so that whoever counts requests counts it out", async () => {
  let running = 0;
  const counting: Filter = (request, _env, next) => {
    running += 1;
    const answered = next(request);
    return answered.finally(() => {
      running -= 1;
    });
  };
  const refusing: Filter = () => {
    throw new Error("refused");
  };
  const run = chain([counting, refusing], env, async () => assert.fail("refused requests reach no handler"));
  await assert.rejects(run(context), /refused/);
  assert.equal(running, 0);
});
