import assert from "node:assert/strict";
import { test } from "node:test";
import type { Runtime } from "@knarr/cri/runtime.ts";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import { KubeletMetrics } from "./kubelet-metrics.ts";

async function linesOf(metrics: KubeletMetrics, name: string): Promise<string[]> {
  const text = await metrics.registry.metrics();
  return text.split("\n").filter((line) => line.startsWith(`${name}{`));
}

class FakeRuntime {
  #calls = 0;
  async listSandboxes(): Promise<number> {
    this.#calls += 1;
    return this.#calls;
  }
  async createContainer(): Promise<string> {
    throw new Error("no");
  }
}

test("KubeletMetrics.watch() counts calls and failures by CRI's names, and changes neither answers nor errors", async () => {
  const metrics = new KubeletMetrics(new FakeClock());
  const runtime = metrics.watch(new FakeRuntime() as unknown as Runtime) as unknown as FakeRuntime;
  assert.equal(await runtime.listSandboxes(), 1);
  assert.equal(await runtime.listSandboxes(), 2);
  await assert.rejects(runtime.createContainer(), /^Error: no$/);
  assert.deepEqual(await linesOf(metrics, "kubelet_runtime_operations_total"), [
    'kubelet_runtime_operations_total{operation_type="list_podsandbox"} 2',
    'kubelet_runtime_operations_total{operation_type="create_container"} 1',
  ]);
  assert.deepEqual(await linesOf(metrics, "kubelet_runtime_operations_errors_total"), [
    'kubelet_runtime_operations_errors_total{operation_type="create_container"} 1',
  ]);
});

test("KubeletMetrics.request() makes no labels of what clients make up", async () => {
  const metrics = new KubeletMetrics(new FakeClock());
  metrics.request("GET", ["metrics", "cadvisor"])();
  for (let i = 0; i < 5; i++) metrics.request(`MADE${i}`, [`up-${i}`])();
  const over = metrics.request("POST", ["exec", "ns", "pod", "c"]);
  const of = (method: string, path: string, long: boolean) =>
    `{method="${method}",path="${path}",server_type="readwrite",long_running="${long}"}`;
  assert.deepEqual(await linesOf(metrics, "kubelet_http_requests_total"), [
    `kubelet_http_requests_total${of("GET", "metrics/cadvisor", false)} 1`,
    `kubelet_http_requests_total${of("other", "other", false)} 5`,
    `kubelet_http_requests_total${of("POST", "exec", true)} 1`,
  ]);
  assert.ok(
    (await linesOf(metrics, "kubelet_http_inflight_requests")).includes(
      `kubelet_http_inflight_requests${of("POST", "exec", true)} 1`,
    ),
  );
  over();
});
