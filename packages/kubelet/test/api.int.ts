/** What the kubelet's API on 10250 tells of a pod that really runs: metrics, statistics, logs of the node, configuration. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { request } from "node:https";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isolatedTest, removeCgroups } from "@knarr/testkit/isolated-test.ts";
import { startContainerd, type TestContainerd } from "@knarr/testkit/start-containerd.ts";
import { startKubelet, type TestKubelet } from "./start-kubelet.ts";

const MANIFEST = `
apiVersion: v1
kind: Pod
metadata: { name: busy }
spec:
  terminationGracePeriodSeconds: 0
  volumes:
    - name: scratch
      emptyDir: {}
  containers:
    - name: main
      image: knarr.local/busybox:1
      command: [/bin/sh, -c, "dd if=/dev/zero of=/scratch/file bs=1024 count=2048; while :; do :; done"]
      resources: { limits: { cpu: 100m, memory: 64Mi }, requests: { cpu: 50m, memory: 32Mi } }
      volumeMounts: [{ name: scratch, mountPath: /scratch }]
      readinessProbe: { exec: { command: ["true"] }, periodSeconds: 1 }
      livenessProbe: { exec: { command: ["false"] }, periodSeconds: 1, failureThreshold: 1000 }
`;

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly allow: string | undefined;
}

if (await isolatedTest(import.meta)) {
  const cgroupRoot = `/knarr-test-${process.ppid}-${Date.now()}`;
  let containerd: TestContainerd | undefined;
  let kubelet: TestKubelet | undefined;

  const call = (path: string, method = "GET"): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const url = `https://127.0.0.1:${kubelet?.port}${path}`;
      const outgoing = request(url, { method, rejectUnauthorized: false }, (response) => {
        let text = "";
        response.on("data", (part: Buffer) => {
          text += part.toString();
        });
        response.once("end", () => resolve({ status: response.statusCode ?? 0, text, allow: response.headers.allow }));
      });
      outgoing.once("error", reject);
      outgoing.end();
    });
  const json = async (path: string) => JSON.parse((await call(path)).text);
  /** The value of the one sample whose line begins so. */
  const sample = (text: string, start: string): number => {
    const line = text.split("\n").find((one) => one.startsWith(start));
    assert.ok(line !== undefined, `no sample ${start} in:\n${text.slice(0, 4000)}`);
    return Number(line.replace(/^[a-z_]+(\{.*\})? /, "").split(" ")[0]);
  };
  const until = async (what: string, check: () => Promise<boolean>) => {
    for (let attempt = 0; !(await check()); attempt++) {
      assert.ok(attempt < 1200, `${what}: ${kubelet?.output().slice(-4000)}`);
      await sleep(100);
    }
  };

  before(async () => {
    containerd = await startContainerd({ subnet: "10.88.11.0/24" });
    kubelet = await startKubelet({
      directory: join(containerd.directory, "node"),
      endpoint: containerd.endpoint,
      cgroupRoot,
      args: ["--anonymous-auth=true", "--authorization-mode=AlwaysAllow", "--enable-system-log-query=true"],
    });
    await writeFile(join(kubelet?.manifests ?? "", "busy.yaml"), MANIFEST);
    await until("the pod runs and burns", async () => {
      const { text } = await call("/metrics/resource");
      const line = text.split("\n").find((one) => one.startsWith("container_cpu_usage_seconds_total{"));
      return line !== undefined && Number(line.split("} ")[1]?.split(" ")[0]) > 0.2;
    });
  });
  after(async () => {
    await kubelet?.stop();
    await containerd?.stop();
    await removeCgroups(cgroupRoot);
  });

  test("/metrics/resource has upstream's series of node, pod and container", async () => {
    const { text } = await call("/metrics/resource");
    const of = '{container="main",namespace="default",pod="busy-node-1"}';
    const pod = '{namespace="default",pod="busy-node-1"}';
    const cpu = sample(text, `container_cpu_usage_seconds_total${of}`);
    assert.ok(sample(text, `pod_cpu_usage_seconds_total${pod}`) >= cpu * 0.9);
    assert.ok(sample(text, `container_memory_working_set_bytes${of}`) > 100_000);
    assert.ok(sample(text, `pod_memory_working_set_bytes${pod}`) > 100_000);
    const age = Date.now() / 1000 - sample(text, `container_start_time_seconds${of}`);
    assert.ok(age > 0 && age < 300, `age ${age}`);
    assert.ok(sample(text, "node_cpu_usage_seconds_total") > 1);
    assert.ok(sample(text, "node_memory_working_set_bytes") > 1e7);
    assert.equal(
      text.split("\n").find((line) => line.startsWith("resource_scrape_error")),
      "resource_scrape_error 0",
    );
    assert.match(
      text,
      /# HELP pod_cpu_usage_seconds_total \[STABLE\] Cumulative cpu time consumed by the pod in core-seconds/,
    );
  });

  test("/metrics/cadvisor has the common series with cAdvisor's labels", async () => {
    const { text } = await call("/metrics/cadvisor");
    const main = text.split("\n").filter((line) => line.includes('container="main"'));
    const names = new Set(main.map((line) => line.slice(0, line.indexOf("{"))));
    for (const name of [
      "container_cpu_usage_seconds_total",
      "container_cpu_user_seconds_total",
      "container_cpu_cfs_periods_total",
      "container_cpu_cfs_throttled_periods_total",
      "container_memory_working_set_bytes",
      "container_memory_rss",
      "container_memory_cache",
      "container_memory_usage_bytes",
      "container_memory_failures_total",
      "container_processes",
      "container_threads",
      "container_file_descriptors",
      "container_sockets",
      "container_ulimits_soft",
      "container_memory_total_inactive_file_bytes",
      "container_spec_cpu_quota",
      "container_spec_memory_limit_bytes",
      "container_start_time_seconds",
      "container_last_seen",
    ]) {
      assert.ok(names.has(name), `${name} is missing`);
    }
    assert.ok(
      main.every((line) =>
        /image="[^"]*busybox[^"]*",name="[0-9a-f]{64}",namespace="default",pod="busy-node-1"/.test(line),
      ),
    );
    const value = (start: RegExp) =>
      Number(
        / (\S+)/.exec(
          text
            .split("\n")
            .find((l) => start.test(l))
            ?.split("}")[1] ?? "",
        )?.[1],
      );
    assert.ok(value(/^container_processes\{container="main"/) >= 1);
    assert.notEqual(value(/^container_ulimits_soft\{container="main".*ulimit="max_open_files"/), 0);
    assert.equal(value(/^container_spec_cpu_quota\{container="main"/), 10_000);
    assert.equal(value(/^container_spec_memory_limit_bytes\{container="main"/), 64 * 2 ** 20);
    assert.match(
      text,
      /container_network_receive_bytes_total\{container="",id="[^"]+",image="",interface="eth0",name="",namespace="default",pod="busy-node-1"\} \d+ \d+/,
    );
    assert.match(text, /^machine_memory_bytes\{boot_id=/m);
    const root = 'container="",id="/",image="",name="",namespace="",pod=""';
    assert.ok(sample(text, `container_memory_working_set_bytes{${root}}`) > 1e7);
    assert.ok(sample(text, `container_cpu_usage_seconds_total{container="",cpu="total",id="/"`) > 1);
    assert.match(text, /^container_network_receive_bytes_total\{container="",id="\/",image="",interface="/m);
    assert.match(
      text,
      new RegExp(`container_memory_working_set_bytes\\{container="",id="${cgroupRoot}/kubepods/burstable",`),
    );
  });

  test("/metrics/probes counts by result, and forgets nothing of a pod that lives", async () => {
    await until("both probes ran", async () => {
      const { text } = await call("/metrics/probes");
      return (
        /probe_type="Liveness",result="failed"/.test(text) && /probe_type="Readiness",result="successful"/.test(text)
      );
    });
    const { text } = await call("/metrics/probes");
    assert.match(
      text,
      /prober_probe_total\{[^}]*container="main"[^}]*pod="busy-node-1"[^}]*pod_uid="[^"]+"[^}]*\} \d+/,
    );
    assert.match(text, /prober_probe_duration_seconds_count\{[^}]*probe_type="Readiness"[^}]*\} \d+/);
    assert.match(text, /^process_start_time_seconds \d+/m);
  });

  test("/metrics counts requests and calls of the runtime, by upstream's names", async () => {
    await call("/made-up");
    const { text } = await call("/metrics");
    assert.ok(sample(text, 'kubelet_runtime_operations_total{operation_type="run_podsandbox"}') >= 1);
    assert.ok(
      sample(text, 'kubelet_runtime_operations_duration_seconds_count{operation_type="create_container"}') >= 1,
    );
    assert.match(text, /kubelet_http_requests_total\{method="GET",path="metrics\/resource",/);
    assert.ok(sample(text, 'kubelet_http_requests_total{method="GET",path="other"') >= 1);
    assert.equal(sample(text, "kubelet_running_pods "), 1);
    assert.equal(sample(text, 'kubelet_active_pods{static="true"}'), 1);
    assert.equal(sample(text, 'kubelet_active_pods{static=""}'), 0);
    assert.equal(sample(text, "kubelet_pod_start_duration_seconds_count "), 1);
    assert.ok(sample(text, 'kubelet_pod_worker_duration_seconds_count{operation_type="sync"}') >= 1);
    assert.ok(sample(text, 'kubelet_pleg_relist_duration_seconds_bucket{le="10"}') >= 1);
    assert.equal(sample(text, 'kubelet_started_containers_total{container_type="container"}'), 1);
    assert.match(text, /^kubernetes_build_info\{.*git_version="v1\.36\..*major="1",minor="36"/m);
  });

  test("/stats/summary tells of node, pod, container, volume, network and what is ephemeral", async () => {
    await json("/stats/summary");
    await sleep(1500);
    const { node, pods } = await json("/stats/summary");
    for (const part of ["cpu", "memory", "swap", "network", "fs", "runtime", "rlimit", "systemContainers"]) {
      assert.ok(part in node, `node without ${part}`);
    }
    assert.deepEqual(
      node.systemContainers.map((one: { name: string }) => one.name),
      ["kubelet", "pods"],
    );
    const age = (time: string) => Date.now() - Date.parse(time);
    for (const { startTime } of node.systemContainers) assert.ok(age(startTime) >= 0 && age(startTime) < 600_000);
    assert.ok(age(node.startTime) > age(node.systemContainers[0].startTime), node.startTime);
    assert.deepEqual(Object.keys(node.runtime), ["imageFs", "containerFs"]);
    const [pod] = pods;
    assert.equal(pod.podRef.name, "busy-node-1");
    assert.equal(pod.network.name, "eth0");
    assert.ok(pod.process_stats.process_count >= 2);
    const [volume] = pod.volume;
    assert.equal(volume.name, "scratch");
    assert.ok(volume.usedBytes >= 2 * 2 ** 20, `${volume.usedBytes}`);
    assert.ok(pod["ephemeral-storage"].usedBytes >= volume.usedBytes);
    const [container] = pod.containers;
    assert.ok(
      container.cpu.usageNanoCores > 20_000_000 && container.cpu.usageNanoCores < 300_000_000,
      JSON.stringify(container.cpu),
    );
    assert.ok(container.rootfs.capacityBytes > 0);
    assert.ok("logs" in container);
    assert.ok(pod.memory.availableBytes > 0 && pod.memory.availableBytes < 64 * 2 ** 20);
    const short = await json("/stats/summary?only_cpu_and_memory=true");
    assert.ok(!("fs" in short.node) && !("volume" in short.pods[0]) && "cpu" in short.pods[0]);
  });

  test("/pods, /runningpods, /configz and /healthz answer in upstream's form", async () => {
    const { items, kind } = await json("/pods");
    assert.deepEqual([kind, items.length, items[0].status.phase], ["PodList", 1, "Running"]);
    const running = await json("/runningpods/");
    assert.deepEqual(
      running.items.map((one: { spec: { containers: { name: string }[] } }) => one.spec.containers.map((c) => c.name)),
      [["main"]],
    );
    const { kubeletconfig } = await json("/configz");
    assert.equal(kubeletconfig.syncFrequency, "1m0s");
    assert.deepEqual(kubeletconfig.authentication.anonymous, { enabled: true });
    assert.equal(kubeletconfig.enableSystemLogQuery, true);
    assert.equal((await call("/healthz")).text, "ok");
    assert.match((await call("/healthz?verbose")).text, /\[\+\]syncloop ok/);
    const post = await call("/pods", "POST");
    assert.deepEqual([post.status, post.text, post.allow], [405, "Method Not Allowed", "GET"]);
  });

  test("/logs/ serves what is below the log folder and nothing else", async () => {
    const listing = await call("/logs/");
    assert.equal(listing.status, 200);
    assert.match(listing.text, /<pre>/);
    for (const path of ["/logs/%2e%2e/%2e%2e/etc/passwd", "/logs/..%2f..%2fetc%2fpasswd", "/logs/none"]) {
      const { status, text } = await call(path);
      assert.equal(status, 404, text);
    }
    const refused = await call("/logs/?query=/../../etc/passwd");
    assert.equal(refused.status, 400);
    assert.match(refused.text, /^query: Invalid value: .*no such file or directory/);
    const service = await call("/logs/?query=no-such-service");
    assert.deepEqual([service.status, service.text], [200, "\nlog not found for no-such-service\n"]);
    assert.equal((await call("/logs/?query=a%3Bb")).status, 400);
  });

  const CHECKPOINTS: readonly [path: string, status: number, text: RegExp][] = [
    ["/checkpoint/default/none/main", 404, /^pod does not exist$/],
    ["/checkpoint/default/busy-node-1/none", 404, /^container none does not exist$/],
    ["/checkpoint/default/busy-node-1/main?timeout=x", 404, /^cannot parse value of timeout parameter$/],
    ["/checkpoint/default/busy-node-1/main", 500, /^checkpointing of default\/busy-node-1\/main failed \(.+\)$/],
  ];
  for (const [path, status, text] of CHECKPOINTS) {
    test(`POST ${path} is answered ${status} where the runtime can't`, async () => {
      const answer = await call(path, "POST");
      assert.equal(answer.status, status, answer.text);
      assert.match(answer.text, text);
    });
  }

  test("logs of what is not there say what is not there", async () => {
    const logs = async (path: string) => {
      const { status, text } = await call(`/containerLogs/default/${path}`);
      return [status, text];
    };
    assert.deepEqual(await logs("none/main"), [404, 'pod "none" does not exist']);
    assert.deepEqual(await logs("busy-node-1/none"), [404, 'container "none" not found in pod "busy-node-1"']);
  });

  const POD = "default/busy-node-1";
  const STREAMS: readonly [method: string, path: string, status: number, text: string][] = [
    ["GET", "/exec/default/none/main", 400, "you must specify at least 1 of stdin, stdout, stderr"],
    ["GET", "/exec/default/none/main?output=1", 404, "pod does not exist"],
    ["POST", `/exec/${POD}/none?output=1`, 500, 'container not found ("none")'],
    ["GET", `/attach/${POD}/no-such-uid/main?output=1`, 500, 'container not found ("main")'],
    ["GET", `/attach/${POD}/main?output=1`, 500, "Upgrade request required\n"],
    ["DELETE", `/exec/${POD}/main?output=1`, 405, "405: Method Not Allowed"],
    ["GET", `/exec/${POD}`, 404, "404: Page Not Found"],
    ["GET", "/portForward/default/none", 404, "pod does not exist"],
    ["GET", `/portForward/${POD}/no-such-uid`, 404, "pod not found"],
    ["GET", `/portForward/${POD}`, 500, "Upgrade request required\n"],
    ["GET", `/run/${POD}/main`, 405, "405: Method Not Allowed"],
    ["POST", `/run/${POD}/none`, 500, 'container not found ("none")'],
    ["POST", `/run/${POD}/main?cmd=echo%20hi`, 200, "hi\n"],
    [
      "POST",
      `/run/${POD}/main?cmd=ls%20/none`,
      500,
      "command 'ls /none' exited with 1: ls: /none: No such file or directory\n",
    ],
    ["GET", `/containerLogs/${POD}`, 404, "404: Page Not Found"],
    ["GET", `/containerLogs/${POD}/main?tailLines=x`, 400, '{"message": "Unable to decode query."}'],
    ["GET", `/containerLogs/${POD}/main?limitBytes=0`, 422, '{"message": "Invalid request."}'],
    [
      "GET",
      `/containerLogs/${POD}/main?previous=true`,
      400,
      'previous terminated container "main" in pod "busy-node-1" not found',
    ],
    ["GET", "/pods/more", 404, "404: Page Not Found"],
    ["GET", "/stats/more", 404, "404: Page Not Found"],
    ["GET", "/none", 404, "404 page not found\n"],
  ];
  for (const [method, path, status, text] of STREAMS) {
    test(`${method} ${path} is answered ${status} in upstream's words`, async () => {
      const answer = await call(path, method);
      assert.deepEqual([answer.status, answer.text], [status, text]);
    });
  }

  test("what is switched off says so", async () => {
    for (const [path, text] of [
      ["/debug/pprof/", "profiling endpoint is disabled.\n"],
      ["/debug/flags/v", "flags endpoint is disabled.\n"],
    ] as const) {
      assert.deepEqual(await call(path), { status: 405, text, allow: undefined });
    }
  });
}
