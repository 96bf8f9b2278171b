/** A pod's life as its specification orders it: hooks, probes, messages, deadlines, gates, graces. */
import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { core } from "@knarr/api/generated/resources.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { condition, shell, statusOf, TestNode, WAIT } from "./test-node.ts";

if (await isolatedTest(import.meta)) {
  let node: TestNode;
  before(async () => {
    node = await TestNode.start({ subnet: "10.88.35.0/24" });
  });
  after(async () => {
    await node.stop();
  });

  test("a postStart hook that fails ends its container, with the reason that upstream gives", async () => {
    const lifecycle = { postStart: { exec: { command: ["sh", "-c", "exit 3"] } } };
    await node.create("badhook", { containers: [{ ...shell("main", WAIT), lifecycle }] });
    await node.untilEvent("badhook", "FailedPostStartHook");
    const pod = await node.until("badhook", "ends", (p) => {
      const { state, lastState } = statusOf(p, "main");
      return (state?.waiting?.reason ?? "") !== "" && (state?.terminated ?? lastState?.terminated) !== undefined;
    });
    assert.match(statusOf(pod, "main").state?.waiting?.reason ?? "", /^(PostStartHookError|CrashLoopBackOff)$/);
    await node.remove("badhook");
  });

  test("postStart and preStop by HTTP and sleep run; by TCP they fail", async () => {
    const web = { name: "main", image: "knarr.local/web:1", ports: [{ name: "web", containerPort: 8080 }] };
    const ready = { exec: { command: ["sh", "-c", "until wget -qO- localhost:8080/healthz; do sleep 0.1; done"] } };
    const stop = { httpGet: { path: "/healthz", port: "web" } };
    await node.create("hooks", { containers: [{ ...web, lifecycle: { postStart: ready, preStop: stop } }] });
    await node.ready("hooks");
    await node.remove("hooks");
    const reasons = (await node.events("hooks")).map((e) => e.reason);
    assert.ok(!reasons.includes("FailedPreStopHook"), reasons.join(" "));
    await node.create("tcphook", {
      terminationGracePeriodSeconds: 5,
      containers: [{ ...shell("main", WAIT), lifecycle: { preStop: { tcpSocket: { port: 1 } } } }],
    });
    await node.ready("tcphook");
    await node.remove("tcphook");
    await node.untilEvent("tcphook", "FailedPreStopHook");
  });

  test("the last words of a container come from its file, or on errors from the end of its log", async () => {
    const long = "i=0; while [ $i -lt 120 ]; do echo line $i; i=$((i+1)); done; exit 1";
    const fromLogs = { terminationMessagePolicy: "FallbackToLogsOnError" };
    await node.create("words", {
      restartPolicy: "Never",
      containers: [
        { ...shell("custom", "printf done > /tmp/last; exit 0"), terminationMessagePath: "/tmp/last" },
        { ...shell("log", long), ...fromLogs },
        { ...shell("wide", "head -c 5000 /dev/zero | tr '\\0' x; exit 1"), ...fromLogs },
        { ...shell("well", "echo nothing"), ...fromLogs },
        shell("big", "head -c 9000 /dev/zero | tr '\\0' y > /dev/termination-log"),
      ],
    });
    const pod = await node.until("words", "fails", (p) => p.status?.phase === "Failed");
    const said = (name: string) => statusOf(pod, name).state?.terminated?.message ?? "";
    assert.equal(said("custom"), "done");
    const lines = said("log").split("\n");
    assert.deepEqual([lines.length, lines[0], lines[79]], [81, "line 40", "line 119"]);
    assert.equal(said("wide"), "x".repeat(2048));
    assert.equal(said("well"), "");
    // 12 kB for all five of them.
    assert.equal(said("big"), "y".repeat(Math.floor((12 * 1024) / 5)));
    await node.remove("words");
  });

  test("a pod is failed when its deadline is over, and says so", async () => {
    await node.create("deadline", { containers: [shell("main", WAIT)] });
    await node.ready("deadline");
    // Set once it runs: how long a busy machine takes to start it is not what this is about.
    const key = { namespace: "default", name: "deadline" };
    await node.client.patch(core.pods, key, { type: "merge", body: { spec: { activeDeadlineSeconds: 1 } } });
    const failed = await node.failed("deadline");
    assert.equal(failed.status?.reason, "DeadlineExceeded");
    assert.equal(failed.status?.message, "Pod was active on the node longer than the specified deadline");
    assert.ok(statusOf(failed, "main").state?.terminated !== undefined);
    await node.untilEvent("deadline", "DeadlineExceeded");
    await node.remove("deadline");
  });

  test("a readiness gate keeps a pod from being Ready until somebody sets its condition", async () => {
    const conditionType = "example.com/ready";
    await node.create("gated", { readinessGates: [{ conditionType }], containers: [shell("main", WAIT)] });
    const waits = await node.until(
      "gated",
      "has ready containers",
      (p) => condition(p, "ContainersReady")?.status === "True",
    );
    const { status, reason, message } = condition(waits, "Ready") ?? {};
    assert.deepEqual(
      [status, reason, message],
      [
        "False",
        "ReadinessGatesNotReady",
        `corresponding condition of pod readiness gate "${conditionType}" does not exist.`,
      ],
    );
    const conditions = [{ type: conditionType, status: "True" }];
    const key = { namespace: "default", name: "gated" };
    const body = { status: { conditions } };
    await node.client.patch(core.pods, key, { type: "strategic", body }, { subresource: "status" });
    const ready = await node.ready("gated");
    assert.equal(condition(ready, conditionType)?.status, "True");
    await node.remove("gated");
  });

  test("a startup probe holds the others back; its own failure ends the container within the probe's grace", async () => {
    const exec = (script: string) => ({ exec: { command: ["sh", "-c", script] } });
    await node.create("startup", {
      terminationGracePeriodSeconds: 30,
      containers: [
        {
          ...shell("slow", WAIT),
          // A busy machine may take its time with either.
          startupProbe: { ...exec("test -e /tmp/up"), periodSeconds: 1, failureThreshold: 120, timeoutSeconds: 30 },
          livenessProbe: { ...exec("test -e /tmp/up"), periodSeconds: 1, failureThreshold: 1, timeoutSeconds: 30 },
        },
        {
          ...shell("never", "trap '' TERM; while :; do sleep 1; done"),
          startupProbe: { ...exec("exit 1"), periodSeconds: 1, failureThreshold: 2, terminationGracePeriodSeconds: 1 },
        },
      ],
    });
    const early = await node.until("startup", "runs", (p) => statusOf(p, "slow").state?.running !== undefined);
    assert.deepEqual([statusOf(early, "slow").started, statusOf(early, "slow").ready], [false, false]);
    await node.kubectl("exec", "startup", "-c", "slow", "--", "touch", "/tmp/up");
    const up = await node.until("startup", "has started", (p) => statusOf(p, "slow").started === true);
    assert.equal(statusOf(up, "slow").restartCount, 0);
    await node.until("startup", "restarts", (p) => statusOf(p, "never").restartCount > 0);
    const killing = await node.untilEvent("startup", "Killing");
    assert.equal(killing.message, "Container never failed startup probe, will be restarted");
    await node.remove("startup", 1);
  });

  test("an exec probe that takes longer than its timeout has failed", async () => {
    const readinessProbe = {
      exec: { command: ["sleep", "5"] },
      timeoutSeconds: 1,
      periodSeconds: 1,
      failureThreshold: 1,
    };
    await node.create("slowprobe", { containers: [{ ...shell("main", WAIT), readinessProbe }] });
    const { message } = await node.untilEvent("slowprobe", "Unhealthy");
    assert.match(message ?? "", /^Readiness probe failed: command timed out: "sleep 5" timed out after 1s$/);
    await node.remove("slowprobe");
  });
}
