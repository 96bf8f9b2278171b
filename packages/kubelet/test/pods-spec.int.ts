/** Fields of the pod specification, each seen from inside a real container or in the pod's status. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { core } from "@knarr/api/generated/resources.ts";
import type { Container, Pod, PodSpec } from "@knarr/api/generated/types/core-v1.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { condition, shell, statusOf, TestNode, WAIT } from "./test-node.ts";

if (await isolatedTest(import.meta)) {
  let node: TestNode;
  let shared: string;
  before(async () => {
    shared = await mkdtemp(join(tmpdir(), "knarr-shared-"));
    node = await TestNode.start({ subnet: "10.88.32.0/24", args: ["--allowed-unsafe-sysctls=net.core.*"] });
  });
  after(async () => {
    await node.stop();
    await rm(shared, { recursive: true, force: true });
  });

  const hostDir = { volumes: [{ name: "host", hostPath: { path: "" } }] };
  const onHost = (container: Container): Container => ({
    ...container,
    volumeMounts: [{ name: "host", mountPath: "/host" }],
  });
  const withHost = (spec: PodSpec): PodSpec => {
    const volumes = hostDir.volumes.map((v) => ({ ...v, hostPath: { path: shared } }));
    return { ...spec, volumes };
  };
  const waiting = (pod: Pod, name: string) => statusOf(pod, name).state?.waiting;

  test("a rule restarts a container that would not be, for the exit codes it names", async () => {
    const rules = [{ action: "Restart", exitCodes: { operator: "In", values: [42] } }];
    const main = shell("main", "test -e /s/again && exit 7; touch /s/again; exit 42");
    await node.create("rules", {
      restartPolicy: "Never",
      volumes: [{ name: "s", emptyDir: {} }],
      containers: [
        {
          ...main,
          restartPolicy: "Never",
          restartPolicyRules: rules,
          volumeMounts: [{ name: "s", mountPath: "/s" }],
        } as Container,
      ],
    });
    const done = await node.until("rules", "fails", (p) => p.status?.phase === "Failed");
    const { restartCount, state, lastState } = statusOf(done, "main");
    assert.deepEqual([restartCount, state?.terminated?.exitCode, lastState?.terminated?.exitCode], [1, 7, 42]);
    await node.remove("rules");
  });

  test("a rule restarts all containers, from the first init container on", async () => {
    const rules = [{ action: "RestartAllContainers", exitCodes: { operator: "In", values: [88] } }];
    const mount = { volumeMounts: [{ name: "s", mountPath: "/s" }] };
    const trigger = shell("trigger", `test $(wc -l < /s/runs) -ge 2 || exit 88; ${WAIT}`);
    await node.create("all", {
      volumes: [{ name: "s", emptyDir: {} }],
      initContainers: [{ ...shell("init", "echo run >> /s/runs"), ...mount }],
      containers: [
        shell("other", WAIT),
        { ...trigger, ...mount, restartPolicy: "Never", restartPolicyRules: rules } as Container,
      ],
    });
    const isBack = (p: Pod) => statusOf(p, "trigger").restartCount === 1 && condition(p, "Ready")?.status === "True";
    const again = await node.until("all", "starts again", isBack);
    assert.equal(await node.kubectl("exec", "all", "-c", "trigger", "--", "cat", "/s/runs"), "run\nrun\n");
    const counts = ["init", "other", "trigger"].map((name) => statusOf(again, name).restartCount);
    assert.deepEqual(counts, [1, 1, 1]);
    const { exitCode, reason } = statusOf(again, "trigger").lastState?.terminated ?? {};
    assert.deepEqual([exitCode, reason], [137, "RestartingAllContainers"]);
    assert.equal(condition(again, "AllContainersRestarting")?.status, "False");
    await node.remove("all");
  });

  test("sidecars end after the containers, last declared first; their preStop hooks run at once", async () => {
    const note = (name: string, signal = "TERM") =>
      onHost(shell(name, `trap 'echo ${name} >> /host/order; exit 0' ${signal}; ${WAIT_LOOP}`));
    const sidecar = (name: string): Container => ({
      ...note(name, "USR1"),
      restartPolicy: "Always",
      lifecycle: {
        stopSignal: "SIGUSR1",
        preStop: { exec: { command: ["sh", "-c", `echo hook-${name} >> /host/order`] } },
      },
    });
    // Its TERM comes after its hook, which waits for the sidecars': they all run at the same time.
    const hooksRan = "until [ $(wc -l < /host/order) -ge 2 ]; do sleep 0.1; done";
    const main = { ...note("main"), lifecycle: { preStop: { exec: { command: ["sh", "-c", hooksRan] } } } };
    await node.create(
      "ordered",
      withHost({
        os: { name: "linux" },
        terminationGracePeriodSeconds: 30,
        initContainers: [sidecar("one"), sidecar("two")],
        containers: [main],
      }),
    );
    const ordered = await node.ready("ordered");
    assert.deepEqual(
      ordered.status?.initContainerStatuses?.map((s) => s.stopSignal),
      ["SIGUSR1", "SIGUSR1"],
    );
    await node.remove("ordered");
    const lines = (await readFile(join(shared, "order"), "utf8")).trim().split("\n");
    assert.deepEqual(lines.slice(0, 2).toSorted(), ["hook-one", "hook-two"]);
    assert.deepEqual(lines.slice(2), ["main", "two", "one"]);
  });

  test("variables come from a file that an init container wrote into a volume that is not mounted", async () => {
    const fileKeyRef = (key: string, more = {}) => ({
      fileKeyRef: { volumeName: "conf", path: "app.env", key, ...more },
    });
    await node.create("envfile", {
      volumes: [{ name: "conf", emptyDir: {} }],
      initContainers: [
        {
          ...shell("write", `printf "# made\\nADDRESS='db.example:5432'\\n" > /conf/app.env`),
          volumeMounts: [{ name: "conf", mountPath: "/conf" }],
        },
      ],
      containers: [
        {
          ...shell("main", `echo "$ADDRESS|$URL|$NONE"; ${WAIT}`),
          env: [
            { name: "ADDRESS", valueFrom: fileKeyRef("ADDRESS") },
            { name: "NONE", valueFrom: fileKeyRef("ABSENT", { optional: true }) },
            { name: "URL", value: "http://$(ADDRESS)/" },
          ],
        },
        {
          ...shell("other", WAIT),
          env: [{ name: "A", valueFrom: fileKeyRef("ABSENT") }],
        },
      ],
    });
    const pod = await node.until(
      "envfile",
      "complains",
      (p) => waiting(p, "other")?.reason === "CreateContainerConfigError",
    );
    assert.equal(waiting(pod, "other")?.message, 'environment variable key "ABSENT" not found in file "app.env"');
    await node.until("envfile", "runs", (p) => statusOf(p, "main").ready);
    await node.untilLog("envfile", "db.example:5432|http://db.example:5432/|\n", "main");
    await node.remove("envfile");
  });

  test("safe sysctls and allowed ones are set, others fail the pod", async () => {
    const sysctls = (...list: [string, string][]) => ({
      securityContext: { sysctls: list.map(([name, value]) => ({ name, value })) },
    });
    const containers = [shell("main", WAIT)];
    await node.create("sysctl", {
      ...sysctls(["net.ipv4.ip_unprivileged_port_start", "80"], ["net.core.somaxconn", "77"]),
      containers,
    });
    await node.ready("sysctl");
    const read = (name: string) => node.exec("sysctl", "cat", `/proc/sys/${name}`);
    assert.equal(await read("net/ipv4/ip_unprivileged_port_start"), "80\n");
    assert.equal(await read("net/core/somaxconn"), "77\n");
    await node.remove("sysctl");
    await node.create("nosysctl", { ...sysctls(["kernel.msgmax", "65536"]), containers });
    const failed = await node.failed("nosysctl");
    assert.equal(failed.status?.reason, "SysctlForbidden");
    assert.equal(failed.status?.message, 'Pod was rejected: forbidden sysctl: "kernel.msgmax" not allowlisted');
    await node.untilEvent("nosysctl", "SysctlForbidden", 'forbidden sysctl: "kernel.msgmax" not allowlisted');
    await node.remove("nosysctl");
  });

  const refusals: { name: string; spec: Partial<PodSpec>; reason: string; message: RegExp }[] = [
    {
      name: "apparmor",
      spec: { securityContext: { appArmorProfile: { type: "RuntimeDefault" } } },
      reason: "AppArmor",
      message: /^Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host$/,
    },
    {
      name: "groups",
      spec: { securityContext: { supplementalGroupsPolicy: "Strict" } },
      reason: "SupplementalGroupsPolicyNotSupported",
      message: /^Pod was rejected: SupplementalGroupsPolicy=Strict is not supported in this node$/,
    },
  ];
  for (const { name, spec, reason, message } of refusals) {
    test(`a pod that needs ${name} which this node lacks is Failed with ${reason}`, async (t) => {
      const facts = await node.client.get(core.nodes, { namespace: "", name: "node-1" });
      const apparmor = await readFile("/sys/module/apparmor/parameters/enabled", "utf8").catch(() => "N");
      if (name === "apparmor" && apparmor.startsWith("Y")) return t.skip("this machine has AppArmor");
      if (name === "groups" && facts.status?.features?.supplementalGroupsPolicy === true) {
        return t.skip("this runtime honours the policy");
      }
      await node.create(name, { ...spec, containers: [shell("main", WAIT)] });
      const failed = await node.failed(name);
      assert.equal(failed.status?.reason, reason);
      assert.match(failed.status?.message ?? "", message);
      await node.remove(name);
    });
  }

  test("a pod whose sandbox can't be made says why and stays Pending", async () => {
    const long = "a".repeat(60);
    await node.create("fqdn", {
      hostname: long,
      subdomain: "sub",
      setHostnameAsFQDN: true,
      containers: [shell("main", WAIT)],
    });
    const { message } = await node.untilEvent("fqdn", "FailedCreatePodSandBox");
    assert.match(
      message ?? "",
      /FQDN a+\.sub\.default\.svc\.cluster\.local is too long \(64 characters is the max, 90/,
    );
    assert.equal((await node.get("fqdn")).status?.phase, "Pending");
    await node.remove("fqdn");
    const { status } = await node.client.get(core.nodes, { namespace: "", name: "node-1" });
    if (status?.runtimeHandlers?.some((h) => h.features?.userNamespaces === true) === true) return;
    await node.create("users", { hostUsers: false, containers: [shell("main", WAIT)] });
    const refused = await node.untilEvent("users", "FailedCreatePodSandBox");
    assert.match(refused.message ?? "", /can't set `spec.hostUsers: false`, runtime does not support user namespaces/);
    await node.remove("users");
  });

  test("kubectl debug joins a running container's processes", async () => {
    await node.create("target", { containers: [shell("main", "exec sleep 1000")] });
    await node.ready("target");
    const image = "--image=knarr.local/busybox:1";
    await node.kubectl("debug", "target", image, "--target=main", "-c", "dbg", "--", "sh", "-c", `ps; ${WAIT}`);
    const pod = await node.until("target", "is debugged", (p) => {
      const status = p.status?.ephemeralContainerStatuses?.find((s) => s.name === "dbg");
      return status?.state?.running !== undefined;
    });
    assert.equal(statusOf(pod, "dbg").restartCount, 0);
    assert.equal(pod.status?.observedGeneration, 2);
    const seen = await node.kubectl("exec", "target", "-c", "dbg", "--", "ps");
    assert.match(seen, /sleep 1000/);
    assert.equal(condition(pod, "Ready")?.status, "True");
    await node.remove("target");
  });
}

/** Keeps a shell's traps answering. */
const WAIT_LOOP = "while :; do sleep 1 & wait $!; done";
