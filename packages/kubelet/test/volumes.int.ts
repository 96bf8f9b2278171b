/** Volumes, environment and security context, as containers see them. */
import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { core } from "@knarr/api/generated/resources.ts";
import type { Container, Pod, PodSpec } from "@knarr/api/generated/types/core-v1.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { PATIENCE_MS, shell, statusOf, TestNode, WAIT } from "./test-node.ts";

if (await isolatedTest(import.meta)) {
  let node: TestNode;
  before(async () => {
    node = await TestNode.start({ subnet: "10.88.11.0/24" });
    const metadata = (name: string) => ({ name, namespace: "default" });
    await node.client.create(core.configmaps, { metadata: metadata("cfg"), data: { color: "red", size: "10" } });
    await node.client.create(core.secrets, {
      metadata: metadata("sec"),
      data: { word: Buffer.from("hush").toString("base64") },
    });
  });
  after(async () => {
    await node.stop();
  });

  const one = (script: string, more: Partial<Container> = {}, spec: Partial<PodSpec> = {}) => ({
    ...spec,
    containers: [{ ...shell("main", script), ...more }],
  });

  /** Runs a script to its end and gives back what it wrote. */
  const output = async (name: string, script: string, more: Partial<Container> = {}, spec: Partial<PodSpec> = {}) => {
    await node.create(name, { ...one(script, more, spec), restartPolicy: "Never" }, { labels: { app: name } });
    await node.until(name, "ends", (p) => p.status?.phase === "Succeeded" || p.status?.phase === "Failed");
    const text = await node.kubectl("logs", name);
    await node.remove(name);
    return text;
  };

  test("configMap, secret, downwardAPI and projected volumes hold their files with their modes", async () => {
    const text = await output(
      "files",
      "cat /c/color /c/sub/ten; echo; cat /s/word; echo; stat -L -c %a /s/word; cat /d/labels; echo; ls /p; cat /p/namespace; echo; df -t tmpfs /s | tail -1 | cut -d' ' -f1",
      {
        volumeMounts: [
          { name: "c", mountPath: "/c" },
          { name: "s", mountPath: "/s" },
          { name: "d", mountPath: "/d" },
          { name: "p", mountPath: "/p" },
        ],
      },
      {
        volumes: [
          {
            name: "c",
            configMap: {
              name: "cfg",
              items: [
                { key: "color", path: "color" },
                { key: "size", path: "sub/ten" },
              ],
            },
          },
          { name: "s", secret: { secretName: "sec", defaultMode: 0o400 } },
          { name: "d", downwardAPI: { items: [{ path: "labels", fieldRef: { fieldPath: "metadata.labels" } }] } },
          {
            name: "p",
            projected: {
              sources: [
                { serviceAccountToken: { path: "token", expirationSeconds: 3600 } },
                { configMap: { name: "cfg" } },
                { downwardAPI: { items: [{ path: "namespace", fieldRef: { fieldPath: "metadata.namespace" } }] } },
              ],
            },
          },
        ],
      },
    );
    assert.equal(text, 'red10\nhush\n400\napp="files"\ncolor\nnamespace\nsize\ntoken\ndefault\ntmpfs\n');
  });

  test("a changed ConfigMap reaches the running pod", async () => {
    const volumes = [{ name: "c", configMap: { name: "live" } }];
    await node.client.create(core.configmaps, { metadata: { name: "live", namespace: "default" }, data: { v: "1" } });
    await node.create("live", one(WAIT, { volumeMounts: [{ name: "c", mountPath: "/c" }] }, { volumes }));
    await node.ready("live");
    assert.equal(await node.exec("live", "cat", "/c/v"), "1");
    const started = Date.now();
    const key = { namespace: "default", name: "live" };
    await node.client.patch(core.configmaps, key, { type: "merge", body: { data: { v: "2", w: "x" } } });
    while ((await node.exec("live", "sh", "-c", "cat /c/v /c/w 2>/dev/null || true")) !== "2x") {
      assert.ok(Date.now() - started < 90_000, "never arrived");
      await sleep(100);
    }
    await node.remove("live");
  });

  test("a pod waits for a missing ConfigMap with upstream's event, and starts when it comes", async () => {
    const volumes = [{ name: "c", configMap: { name: "late" } }];
    await node.create("late", one(WAIT, { volumeMounts: [{ name: "c", mountPath: "/c" }] }, { volumes }));
    const event = await node.untilEvent("late", "FailedMount");
    assert.equal(event.message, 'MountVolume.SetUp failed for volume "c" : configmap "late" not found');
    await node.client.create(core.configmaps, { metadata: { name: "late", namespace: "default" }, data: {} });
    await node.ready("late");
    await node.remove("late");
  });

  test("a missing key of the environment is CreateContainerConfigError until it is there", async () => {
    const env = [{ name: "A", valueFrom: { configMapKeyRef: { name: "cfg", key: "absent" } } }];
    await node.create("envless", one(WAIT, { env }));
    const pod = await node.until(
      "envless",
      "complains",
      (p) => statusOf(p, "main").state?.waiting?.reason === "CreateContainerConfigError",
    );
    assert.equal(statusOf(pod, "main").state?.waiting?.message, "couldn't find key absent in ConfigMap default/cfg");
    await node.client.patch(
      core.configmaps,
      { namespace: "default", name: "cfg" },
      { type: "merge", body: { data: { absent: "now" } } },
    );
    await node.ready("envless");
    await node.remove("envless");
  });

  test("the environment comes from values, fields, resources, ConfigMaps, Secrets and Services", async () => {
    await node.client.create(core.services, {
      metadata: { name: "my-db", namespace: "default" },
      spec: { ports: [{ name: "sql", port: 5432 }] },
    });
    // The kubelet hears of Services by a watch: a pod that starts before knows nothing of this one.
    const deadline = Date.now() + PATIENCE_MS;
    for (let attempt = 0; !(await output(`env-${attempt}`, "env")).includes("MY_DB_SERVICE_HOST="); attempt++) {
      assert.ok(Date.now() < deadline, "the Service never reached the environment");
    }
    const text = await output("env", "env | sort", {
      envFrom: [{ prefix: "C_", configMapRef: { name: "cfg" } }, { secretRef: { name: "nowhere", optional: true } }],
      env: [
        { name: "PLAIN", value: "a" },
        { name: "JOINED", value: "$(PLAIN)-$$(PLAIN)-$(C_color)-$(NOPE)" },
        { name: "SECRET", valueFrom: { secretKeyRef: { name: "sec", key: "word" } } },
        { name: "POD", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
        { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
        { name: "MILLIS", valueFrom: { resourceFieldRef: { resource: "limits.cpu", divisor: "1m" } } },
        { name: "MEM", valueFrom: { resourceFieldRef: { resource: "limits.memory", divisor: "1Mi" } } },
      ],
      resources: { limits: { cpu: "250m", memory: "64Mi" } },
    });
    const env = new Map(
      text
        .trim()
        .split("\n")
        .map((line): [string, string] => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
    );
    assert.equal(env.get("JOINED"), "a-$(PLAIN)-red-$(NOPE)");
    assert.deepEqual(
      ["SECRET", "POD", "MILLIS", "MEM"].map((k) => env.get(k)),
      ["hush", "env", "250", "64"],
    );
    assert.match(env.get("IP") ?? "", /^10\.88\.11\./);
    assert.match(env.get("MY_DB_SERVICE_PORT_SQL") ?? "", /^5432$/);
    assert.match(env.get("MY_DB_PORT") ?? "", /^tcp:\/\/10\..*:5432$/);
    assert.equal(env.get("KUBERNETES_SERVICE_HOST"), "10.96.0.1");
  });

  test("limits become cgroup limits, and more memory than that is OOMKilled", async () => {
    await node.create("hog", {
      ...one("dd if=/dev/zero of=/dev/null bs=200M count=1", {
        resources: { limits: { cpu: "500m", memory: "20Mi" } },
      }),
      restartPolicy: "Never",
    });
    const pod = await node.until("hog", "is killed", (p) => p.status?.phase === "Failed");
    assert.equal(pod.status?.qosClass, "Guaranteed");
    assert.equal(statusOf(pod, "main").state?.terminated?.exitCode, 137);
    // containerd 1.6 learns of the end and of its reason by two events; the status follows when the second comes late.
    const reason = (p: Pod) => statusOf(p, "main").state?.terminated?.reason;
    await node.until("hog", "says why it was killed", (p) => reason(p) === "OOMKilled");
    await node.remove("hog");
  });

  test("subPath mounts one part of a volume, and can't leave it through a link", async () => {
    const volumes = [
      { name: "v", emptyDir: {} },
      { name: "c", configMap: { name: "cfg" } },
    ];
    const init = (script: string) => ({ ...shell("init", script), volumeMounts: [{ name: "v", mountPath: "/v" }] });
    await node.create("part", {
      volumes,
      restartPolicy: "Never",
      initContainers: [init("mkdir -p /v/a/b; echo deep > /v/a/b/f")],
      containers: [
        {
          ...shell("main", "cat /x/f /color; echo new > /x/g; mkdir -p /made/z"),
          env: [{ name: "WHICH", value: "b" }],
          volumeMounts: [
            { name: "v", mountPath: "/x", subPathExpr: "a/$(WHICH)" },
            { name: "c", mountPath: "/color", subPath: "color" },
            { name: "v", mountPath: "/made", subPath: "fresh/folder" },
          ],
        },
      ],
    });
    await node.until("part", "ends", (p) => p.status?.phase === "Succeeded");
    assert.equal(await node.kubectl("logs", "part", "-c", "main"), "deep\nred");
    await node.remove("part");
    await node.create("escape", {
      volumes,
      initContainers: [init("ln -s / /v/out; ln -s ../../../../../../.. /v/up")],
      containers: [{ ...shell("main", WAIT), volumeMounts: [{ name: "v", mountPath: "/x", subPath: "out/etc" }] }],
    });
    const pod = await node.until(
      "escape",
      "is refused",
      (p) => statusOf(p, "main").state?.waiting?.reason === "CreateContainerConfigError",
    );
    assert.match(
      statusOf(pod, "main").state?.waiting?.message ?? "",
      /^failed to prepare subPath for volumeMount "v" of container "main"$/,
    );
    await node.remove("escape");
  });

  test("emptyDir and fsGroup give a non-root user a folder to write; memory is tmpfs of its size", async () => {
    const text = await output(
      "owned",
      "id; echo x > /v/f; stat -c '%g' /v/f; stat -c '%a %g' /v; df -k /m | tail -1 | awk '{print $1, $2}'; cat /var/run/secrets/kubernetes.io/serviceaccount/token | wc -c | grep -qv '^0' && echo token",
      {
        volumeMounts: [
          { name: "v", mountPath: "/v" },
          { name: "m", mountPath: "/m" },
        ],
      },
      {
        securityContext: { runAsUser: 1000, runAsGroup: 3000, fsGroup: 2000, supplementalGroups: [4000] },
        volumes: [
          { name: "v", emptyDir: {} },
          { name: "m", emptyDir: { medium: "Memory", sizeLimit: "4Mi" } },
        ],
      },
    );
    const lines = text.trim().split("\n");
    assert.match(lines[0] ?? "", /uid=1000 gid=3000 groups=.*2000.*4000/);
    assert.deepEqual(lines.slice(1), ["2000", "2777 2000", "tmpfs 4096", "token"]);
  });

  test("hostPath checks its type, and makes what it is asked to", async () => {
    const root = join(node.containerd.directory, "host");
    await mkdir(root);
    await writeFile(join(root, "file"), "from the node");
    const volumes = (type: string, path: string) => [{ name: "h", hostPath: { path: join(root, path), type } }];
    const mount = { volumeMounts: [{ name: "h", mountPath: "/h" }] };
    assert.equal(await output("hostfile", "cat /h", mount, { volumes: volumes("File", "file") }), "from the node");
    await output("hostmake", "echo made > /h/x", mount, { volumes: volumes("DirectoryOrCreate", "new/dir") });
    assert.equal(await readFile(join(root, "new/dir/x"), "utf8"), "made\n");
    await node.create("hostbad", one(WAIT, mount, { volumes: volumes("Directory", "file") }));
    const event = await node.untilEvent("hostbad", "FailedMount");
    assert.match(event.message ?? "", /hostPath type check failed: .*\/file is not a directory$/);
    await node.remove("hostbad");
  });

  test("the security context holds: non-root, read-only root, capabilities, no new privileges, seccomp", async () => {
    const script = "touch /f 2>/dev/null || echo read-only; grep -E 'NoNewPrivs|Seccomp:|CapEff' /proc/self/status";
    const text = await output("tight", script, {
      securityContext: {
        runAsUser: 1000,
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ["ALL"] },
        seccompProfile: { type: "RuntimeDefault" },
      },
    });
    assert.deepEqual(
      text
        .trim()
        .split(/\n/)
        .map((l) => l.replaceAll(/\s+/g, " ")),
      ["read-only", "CapEff: 0000000000000000", "NoNewPrivs: 1", "Seccomp: 2"],
    );
    await node.create("root", one(WAIT, { securityContext: { runAsNonRoot: true } }));
    const pod = await node.until(
      "root",
      "is refused",
      (p) => statusOf(p, "main").state?.waiting?.reason === "CreateContainerConfigError",
    );
    assert.match(
      statusOf(pod, "main").state?.waiting?.message ?? "",
      /^container has runAsNonRoot and image will run as root/,
    );
    await node.remove("root");
  });

  test("privileged, host namespaces and a shared process namespace", async () => {
    assert.match(await output("priv", "ls /dev | wc -l", { securityContext: { privileged: true } }), /^[1-9]\d+\n$/);
    const host = await output(
      "host",
      "cat /proc/1/comm; ip -4 addr show lo | grep -c 127",
      {},
      { hostNetwork: true, hostPID: true },
    );
    assert.equal(host.split("\n")[1], "1");
    await node.create("shared", {
      shareProcessNamespace: true,
      containers: [shell("main", WAIT), shell("other", WAIT)],
    });
    await node.ready("shared");
    assert.match(await node.exec("shared", "ps", "-o", "args"), /\/pause/);
    await node.remove("shared");
  });

  test("hostname, subdomain, aliases and DNS settings", async () => {
    const text = await output(
      "named",
      "hostname; cat /etc/hosts; cat /etc/resolv.conf",
      {},
      {
        hostname: "box",
        subdomain: "sub",
        hostAliases: [{ ip: "192.0.2.7", hostnames: ["alias.example", "alias"] }],
        dnsPolicy: "None",
        dnsConfig: { nameservers: ["192.0.2.53"], searches: ["example.org"], options: [{ name: "ndots", value: "2" }] },
      },
    );
    assert.match(text, /^box\n/);
    assert.match(text, /\tbox\.sub\.default\.svc\.cluster\.local\tbox\n/);
    assert.match(text, /192\.0\.2\.7\talias\.example\talias/);
    assert.match(text, /search example\.org\nnameserver 192\.0\.2\.53\noptions ndots:2/);
  });
}
