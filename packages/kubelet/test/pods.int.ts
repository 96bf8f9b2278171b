/** Pods from a real API server, run on a real containerd: status, restarts, init containers, probes, deletion. */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { coordination, core } from "@knarr/api/generated/resources.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { RUNTIME } from "./start-runtime.ts";
import { condition, NODE, shell, statusOf, TestNode, WAIT } from "./test-node.ts";

if (await isolatedTest(import.meta)) {
  let node: TestNode;
  before(async () => {
    node = await TestNode.start({ subnet: "10.88.10.0/24" });
  });
  after(async () => {
    await node.stop();
  });

  test("the node registers, becomes Ready and renews its lease", async () => {
    const key = { namespace: "", name: NODE };
    for (let attempt = 0; ; attempt++) {
      const object = await node.client.get(core.nodes, key).catch(() => undefined);
      const ready = object?.status?.conditions?.find((c) => c.type === "Ready");
      if (ready?.status === "True") {
        assert.equal(object?.metadata.labels?.["kubernetes.io/hostname"], NODE);
        assert.equal(object?.status?.nodeInfo?.containerRuntimeVersion?.startsWith(`${RUNTIME}://`), true);
        assert.ok(object?.status?.images?.some((i) => i.names?.includes("knarr.local/busybox:1")));
        break;
      }
      assert.ok(attempt < 1200, `not ready: ${JSON.stringify(object?.status?.conditions)}\n${node.kubelet.output()}`);
      await sleep(50);
    }
    const lease = await node.client.get(coordination.leases, { namespace: "kube-node-lease", name: NODE });
    assert.equal(lease.spec?.holderIdentity, NODE);
  });

  test("a pod becomes Ready with the status that upstream would report", async () => {
    const started = Date.now();
    await node.create("web", { containers: [{ name: "main", image: "knarr.local/web:1" }] });
    const pod = await node.ready("web");
    process.stderr.write(`create to Ready: ${Date.now() - started} ms\n`);
    const { status } = pod;
    assert.equal(status?.phase, "Running");
    assert.equal(status?.qosClass, "BestEffort");
    assert.match(status?.podIP ?? "", /^10\.88\.10\.\d+$/);
    assert.deepEqual(status?.podIPs, [{ ip: status?.podIP }]);
    assert.equal(status?.hostIP, "127.0.0.1");
    assert.equal(status?.observedGeneration, pod.metadata.generation);
    const types = status?.conditions?.map((c) => [c.type, c.status, c.observedGeneration]);
    assert.deepEqual(types?.toSorted(), [
      ["ContainersReady", "True", 1],
      ["Initialized", "True", 1],
      ["PodReadyToStartContainers", "True", 1],
      ["PodScheduled", "True", 1],
      ["Ready", "True", 1],
    ]);
    const container = statusOf(pod, "main");
    assert.match(container.containerID ?? "", new RegExp(`^${RUNTIME}://[0-9a-f]{64}$`));
    assert.match(container.imageID, /^sha256:/);
    assert.equal(container.image, "knarr.local/web:1");
    assert.deepEqual([container.ready, container.started, container.restartCount], [true, true, 0]);
    for (const reason of ["Pulled", "Created", "Started"]) {
      assert.equal((await node.untilEvent("web", reason)).involvedObject.fieldPath, "spec.containers{main}");
    }
  });

  test("kubectl reads its log, runs commands in it, and forwards a port to it", async () => {
    assert.match(await node.exec("web", "cat", "/www/index.html"), /^web version 1/);
    await assert.rejects(node.exec("web", "sh", "-c", "exit 7"), (error: { code?: number }) => error.code === 7);
    await node.create("talker", { containers: [shell("main", `echo one; echo two; ${WAIT}`)] });
    await node.ready("talker");
    await node.untilLog("talker", "one\ntwo\n");
    assert.equal(await node.kubectl("logs", "talker", "--tail=1"), "two\n");
    assert.match(await node.kubectl("top", "node", "--help"), /top/i);
    await node.remove("talker");
  });

  test("containers that start one after another are not taken for restarted", async () => {
    const slow = { postStart: { exec: { command: ["sleep", "1"] } } };
    const b = { ...shell("b", WAIT), lifecycle: slow };
    await node.create("several", { containers: [shell("a", WAIT), b, shell("c", WAIT)] });
    const pod = await node.ready("several");
    for (const name of ["a", "b", "c"]) {
      const { restartCount, lastState } = statusOf(pod, name);
      assert.deepEqual([restartCount, lastState], [0, {}]);
    }
    await node.remove("several");
  });

  test("a killed container is started again with its count and its last state kept", async () => {
    await node.create("killme", { containers: [shell("main", "trap 'exit 5' TERM; echo up; sleep 1000 & wait")] });
    const first = await node.ready("killme");
    await node.untilLog("killme", "up\n");
    // The kill's own process may go down with the container, before it has reported its success.
    await node.exec("killme", "kill", "-TERM", "1").catch(() => {
      // The command may go down with the container, before or after its exit code is told.
    });
    const again = await node.until(
      "killme",
      "restarts",
      (pod) => statusOf(pod, "main").restartCount === 1 && statusOf(pod, "main").ready,
    );
    const { lastState, containerID } = statusOf(again, "main");
    assert.equal(lastState?.terminated?.exitCode, 5);
    assert.equal(lastState?.terminated?.reason, "Error");
    assert.equal(lastState?.terminated?.containerID, statusOf(first, "main").containerID);
    assert.notEqual(containerID, lastState?.terminated?.containerID);
    await node.remove("killme");
  });

  test("a container that keeps failing waits in CrashLoopBackOff", async () => {
    await node.create("crash", { containers: [shell("main", "echo why > /dev/termination-log; exit 1")] });
    const pod = await node.until("crash", "backs off", (p) => {
      const { state, restartCount } = statusOf(p, "main");
      return state?.waiting?.reason === "CrashLoopBackOff" && restartCount >= 1;
    });
    const { state, lastState, restartCount } = statusOf(pod, "main");
    assert.match(state?.waiting?.message ?? "", /^back-off 10s restarting failed container=main pod=crash_default\(/);
    assert.deepEqual([lastState?.terminated?.exitCode, lastState?.terminated?.message], [1, "why\n"]);
    assert.equal(restartCount, 1);
    await node.untilEvent("crash", "BackOff");
    await node.remove("crash");
  });

  test("init containers run in order, sidecars stay, and a pod that ran to its end is Succeeded", async () => {
    await node.create("steps", {
      restartPolicy: "Never",
      volumes: [{ name: "shared", emptyDir: {} }],
      initContainers: [
        { ...shell("a", "echo a >> /s/order"), volumeMounts: [{ name: "shared", mountPath: "/s" }] },
        { ...shell("side", WAIT), restartPolicy: "Always" },
        { ...shell("b", "echo b >> /s/order"), volumeMounts: [{ name: "shared", mountPath: "/s" }] },
      ],
      containers: [
        {
          ...shell("main", "cat /s/order; until test -e /s/end; do sleep 0.1; done"),
          volumeMounts: [{ name: "shared", mountPath: "/s" }],
        },
      ],
    });
    const running = await node.until("steps", "runs", (p) => statusOf(p, "main").state?.running !== undefined);
    assert.equal(statusOf(running, "a").state?.terminated?.reason, "Completed");
    assert.equal(statusOf(running, "a").ready, true);
    assert.equal(statusOf(running, "side").started, true);
    await node.kubectl("exec", "steps", "-c", "main", "--", "touch", "/s/end");
    const done = await node.until("steps", "succeeds", (p) => p.status?.phase === "Succeeded");
    assert.equal(condition(done, "Ready")?.reason, "PodCompleted");
    assert.ok(statusOf(done, "side").state?.terminated !== undefined);
    assert.equal(await node.kubectl("logs", "steps", "-c", "main"), "a\nb\n");
    await node.remove("steps");
  });

  test("an init container that fails for good fails the pod", async () => {
    await node.create("badinit", {
      restartPolicy: "Never",
      initContainers: [shell("a", "exit 4"), shell("b", "exit 0")],
      containers: [shell("main", WAIT)],
    });
    const pod = await node.until("badinit", "fails", (p) => p.status?.phase === "Failed");
    assert.equal(statusOf(pod, "a").state?.terminated?.exitCode, 4);
    assert.equal(statusOf(pod, "b").state?.waiting?.reason, "PodInitializing");
    assert.equal(condition(pod, "Initialized")?.message, "containers with incomplete status: [a b]");
    await node.remove("badinit");
  });

  test("readiness follows its probe, and a failed liveness probe restarts the container", async () => {
    const probe = (path: string) => ({ httpGet: { path, port: 8080 }, periodSeconds: 1, failureThreshold: 1 });
    await node.create("probed", {
      containers: [
        {
          name: "main",
          image: "knarr.local/web:1",
          readinessProbe: probe("/readyz"),
          // A busy machine may need a second or two until the server listens; that is no reason for a restart.
          livenessProbe: { ...probe("/healthz"), failureThreshold: 5 },
        },
      ],
    });
    await node.ready("probed");
    await node.exec("probed", "rm", "/www/readyz");
    const unready = await node.until("probed", "is unready", (p) => condition(p, "Ready")?.status === "False");
    assert.equal(condition(unready, "Ready")?.message, "containers with unready status: [main]");
    await node.untilEvent("probed", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404");
    await node.exec("probed", "rm", "/www/healthz");
    const restarted = await node.until("probed", "restarts", (p) => statusOf(p, "main").restartCount === 1);
    assert.ok(statusOf(restarted, "main").lastState?.terminated !== undefined);
    await node.ready("probed");
    await node.untilEvent("probed", "Killing");
    const messages = (await node.events("probed")).filter((e) => e.reason === "Killing").map((e) => e.message);
    assert.deepEqual(messages, ["Container main failed liveness probe, will be restarted"]);
    await node.remove("probed");
  });

  test("a deleted pod gets TERM and its grace, then its object goes", async () => {
    const script = "trap 'sleep 1; echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done";
    await node.create("polite", { containers: [shell("main", script)], terminationGracePeriodSeconds: 60 });
    await node.ready("polite");
    // Before its trap is set, the first process of a container ignores TERM.
    await node.untilLog("polite", "up\n");
    const started = Date.now();
    await node.remove("polite");
    const tookMs = Date.now() - started;
    // Longer than the trap takes, and not the whole grace.
    assert.ok(tookMs >= 1000 && tookMs < 60_000, `took ${tookMs} ms`);
    await node.create("stubborn", { containers: [shell("main", "trap '' TERM; while :; do sleep 1; done")] });
    await node.ready("stubborn");
    await node.remove("stubborn", 1);
  });

  test("a preStop hook runs before TERM", async () => {
    const container = {
      ...shell("main", WAIT),
      lifecycle: { preStop: { exec: { command: ["sh", "-c", "echo stopping > /proc/1/fd/1; sleep 1"] } } },
    };
    await node.create("hooked", { containers: [container], terminationGracePeriodSeconds: 10 });
    await node.ready("hooked");
    const started = Date.now();
    await node.remove("hooked");
    assert.ok(Date.now() - started >= 1000);
  });

  test("an image that is not there gives ErrImageNeverPull, or ErrImagePull and then ImagePullBackOff", async () => {
    await node.create("never", {
      containers: [{ name: "main", image: "knarr.local/absent:1", imagePullPolicy: "Never" }],
    });
    const never = await node.until(
      "never",
      "complains",
      (p) => statusOf(p, "main").state?.waiting?.reason === "ErrImageNeverPull",
    );
    assert.equal(
      statusOf(never, "main").state?.waiting?.message,
      'Container image "knarr.local/absent:1" is not present with pull policy of Never',
    );
    await node.remove("never");
    await node.create("pull", { containers: [{ name: "main", image: "127.0.0.1:1/absent:1" }] });
    await node.until("pull", "complains", (p) => statusOf(p, "main").state?.waiting?.reason === "ErrImagePull");
    await node.until("pull", "backs off", (p) => statusOf(p, "main").state?.waiting?.reason === "ImagePullBackOff");
    await node.untilEvent("pull", "Failed");
    await node.untilEvent("pull", "BackOff");
    await node.remove("pull");
  });

  test("a restarted kubelet restarts nothing and keeps pods ready", async () => {
    const before = await node.ready("web");
    await node.kubelet.kill();
    await node.kubelet.restart();
    await sleep(2000);
    const after = await node.get("web");
    assert.equal(statusOf(after, "main").containerID, statusOf(before, "main").containerID);
    assert.equal(condition(after, "Ready")?.lastTransitionTime, condition(before, "Ready")?.lastTransitionTime);
    assert.equal(statusOf(after, "main").restartCount, 0);
  });

  test("pods deleted by force, and pods deleted while the kubelet was away, are ended", async () => {
    await node.create("forced", { containers: [shell("main", WAIT)] });
    await node.create("away", { containers: [shell("main", WAIT)] });
    await node.ready("forced");
    await node.ready("away");
    await node.remove("forced", 0);
    await node.kubelet.kill();
    await node.client.delete(core.pods, { namespace: "default", name: "away" }, { gracePeriodSeconds: 1 });
    await node.kubelet.restart();
    await node.gone("away");
    await node.remove("web");
    for (let attempt = 0; ; attempt++) {
      const sandboxes = await node.runtime.listSandboxes();
      const folders = await readdir(join(node.kubelet.rootDir, "pods"));
      const logs = await readdir(node.kubelet.logDir);
      if (sandboxes.length + folders.length + logs.length === 0) break;
      assert.ok(attempt < 1200, JSON.stringify({ sandboxes, folders, logs }));
      await sleep(50);
    }
  });
}
