/** The same through unmodified kubectl, the oldest supported and the newest that can be had. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { knarr, kubeconfig, kubectl, kubectls, tryKubectl, waitForPods } from "./lib/cluster.ts";
import { eventually } from "./lib/run.ts";

for (const { version, path } of kubectls()) {
  describe(`kubectl ${version}`, () => {
    const namespace = `kubectl-${version.replace(".", "-")}`;
    const manifest = `
apiVersion: v1
kind: Namespace
metadata: {name: ${namespace}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: ${namespace}}
data: {color: blue}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: ${namespace}}
spec:
  replicas: 2
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: app
        image: knarr.local/web:1
        readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: app, namespace: ${namespace}}
spec: {selector: {app: app}, ports: [{port: 80, targetPort: 8080}]}
`;
    const kc = (args: readonly string[], options = {}) => kubectl(path, ["-n", namespace, ...args], options);
    let folder = "";

    before(async () => {
      folder = await mkdtemp(join(tmpdir(), "knarr-kubectl-"));
      const output = await kubectl(path, ["apply", "-f", "-"], { input: manifest });
      assert.match(
        output,
        /namespace\/\S+ created\nconfigmap\/settings created\ndeployment.apps\/app created\nservice\/app created/,
      );
      await kc(["wait", "--for=condition=Available", "deployment/app", "--timeout=240s"]);
    });
    after(async () => {
      await rm(folder, { recursive: true, force: true });
      await kubectl(path, ["delete", "namespace", namespace, "--timeout=240s"]);
    });

    test("get shows the server's tables, wide and as yaml", async () => {
      assert.match(await kc(["get", "deploy"]), /NAME +READY +UP-TO-DATE +AVAILABLE +AGE\napp +2\/2 +2 +2/);
      assert.match(await kc(["get", "pods", "-o", "wide"]), /NOMINATED NODE +READINESS GATES\n/);
      assert.match(await kc(["get", "svc"]), /app +ClusterIP +10\.\d+\.\d+\.\d+ +<none> +80\/TCP/);
      assert.match(await kc(["get", "deploy", "app", "-o", "yaml"]), /replicas: 2\n/);
      assert.match(
        await kc(["get", "all"]),
        /pod\/app-[\s\S]*service\/app[\s\S]*deployment.apps\/app[\s\S]*replicaset.apps\/app-/,
      );
      assert.match(await kubectl(path, ["get", "nodes"]), /node-1 +Ready[\s\S]*node-2 +Ready/);
    });

    test("apply again says unchanged, diff sees a change and apply configures it", async () => {
      assert.match(await kubectl(path, ["apply", "-f", "-"], { input: manifest }), /deployment.apps\/app unchanged/);
      const changed = manifest.replace("color: blue", "color: green");
      const diff = await tryKubectl(path, ["diff", "-f", "-"], { input: changed });
      assert.equal(diff.code, 1, diff.stderr);
      assert.match(diff.stdout, /-\s+color: blue\n\+\s+color: green/);
      assert.match(await kubectl(path, ["apply", "-f", "-"], { input: changed }), /configmap\/settings configured/);
    });

    test("server-side apply creates, and names the manager in a conflict", async () => {
      const configMap = (color: string) =>
        JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "owned" }, data: { color } });
      const apply = (manager: string, color: string) =>
        tryKubectl(path, ["-n", namespace, "apply", "--server-side", "--field-manager", manager, "-f", "-"], {
          input: configMap(color),
        });
      assert.match((await apply("first", "red")).stdout, /configmap\/owned serverside-applied/);
      const conflict = await apply("second", "black");
      assert.equal(conflict.code, 1);
      assert.match(conflict.stderr, /conflict with "first": \.data\.color/);
    });

    test("edit through KUBE_EDITOR changes the object", async () => {
      const editor = join(folder, "editor");
      await writeFile(editor, "#!/bin/sh\nsed -i 's/color: .*/color: edited/' \"$1\"\n");
      await chmod(editor, 0o755);
      assert.match(
        await kc(["edit", "configmap", "settings"], { env: { KUBE_EDITOR: editor } }),
        /configmap\/settings edited/,
      );
      assert.equal(await kc(["get", "cm", "settings", "-o", "jsonpath={.data.color}"]), "edited");
    });

    test("describe shows events, explain shows fields", async () => {
      assert.match(await kc(["describe", "pods"]), /Successfully assigned[\s\S]*Started container app|Started/);
      assert.match(await kc(["describe", "deployment", "app"]), /2 desired \| 2 updated \| 2 total \| 2 available/);
      assert.match(await kc(["explain", "deployment.spec.strategy"]), /rollingUpdate/);
      assert.match(await kc(["explain", "pod.spec.containers.readinessProbe.httpGet"]), /port/);
    });

    test("exec runs with and without a terminal and gives the exit code", async () => {
      const [pod = ""] = (await kc(["get", "pods", "-o", "name"])).trim().split("\n");
      assert.equal(await kc(["exec", pod, "--", "echo", "hello"]), "hello\n");
      assert.equal(await kc(["exec", "-i", pod, "--", "cat"], { input: "through" }), "through");
      const failing = await tryKubectl(path, ["-n", namespace, "exec", pod, "--", "sh", "-c", "exit 3"]);
      assert.equal(failing.code, 3);
      // script(1) gives kubectl a terminal of its own.
      const command = `${path} -n ${namespace} exec -it ${pod} -- sh -c 'test -t 0 && echo is a terminal'`;
      const terminal = await tryScript(command);
      assert.match(terminal, /is a terminal/);
    });

    test("logs -f follows until the container ends", async () => {
      const command = ["sh", "-c", "for i in 1 2 3 4 5; do echo line $i; sleep 0.5; done"];
      const containers = [{ name: "c", image: "knarr.local/busybox:1", command }];
      const spec = { restartPolicy: "Never", containers };
      const pod = JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata: { name: "talker" }, spec });
      await kc(["apply", "-f", "-"], { input: pod });
      // It may have ended by the time that somebody looks: all that matters is that it has begun.
      await eventually("talker has begun", 240_000, async () => {
        const phase = await kc(["get", "pod", "talker", "-o", "jsonpath={.status.phase}"]);
        return phase === "Running" || phase === "Succeeded" ? phase : undefined;
      });
      assert.equal(await kc(["logs", "-f", "talker"]), "line 1\nline 2\nline 3\nline 4\nline 5\n");
      assert.equal(await kc(["logs", "talker", "--tail=2"]), "line 4\nline 5\n");
      await kc(["wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/talker", "--timeout=240s"]);
      assert.match(await kc(["get", "pod", "talker"]), /talker +0\/1 +Completed/);
    });

    test("scale and rollout work", async () => {
      await kc(["scale", "deployment/app", "--replicas=4"]);
      await kc(["rollout", "status", "deployment/app", "--timeout=240s"]);
      await kc(["set", "image", "deployment/app", "app=knarr.local/web:2"]);
      await kc(["rollout", "status", "deployment/app", "--timeout=240s"]);
      assert.match(await kc(["rollout", "history", "deployment/app"]), /REVISION/);
      await kc(["rollout", "undo", "deployment/app"]);
      await kc(["rollout", "status", "deployment/app", "--timeout=240s"]);
      assert.equal(await kc(["get", "deploy", "app", "-o", "jsonpath={..image}"]), "knarr.local/web:1");
      await kc(["rollout", "restart", "deployment/app"]);
      await kc(["rollout", "status", "deployment/app", "--timeout=240s"]);
    });

    test("port-forward carries a request to the pod", async () => {
      // kubectl picks any of the deployment's pods, one that is just ending among them.
      await waitForPods(namespace, "app=app", 4);
      const child = spawn(
        path,
        ["-n", namespace, "port-forward", "deployment/app", ":8080", "--address", "127.0.0.1"],
        {
          env: { ...process.env, KUBECONFIG: kubeconfig },
          stdio: ["ignore", "pipe", "pipe"],
        },
      );
      try {
        let output = "";
        for (const stream of [child.stdout, child.stderr]) {
          stream.setEncoding("utf8").on("data", (text: string) => {
            output += text;
          });
        }
        const port = await eventually(
          "port-forward listens",
          240_000,
          async () => /Forwarding from 127\.0\.0\.1:(\d+)/.exec(output)?.[1],
          () => output,
        );
        const answer = await fetch(`http://127.0.0.1:${port}/healthz`, { signal: AbortSignal.timeout(10_000) });
        assert.equal((await answer.text()).trim(), "ok");
      } finally {
        child.kill();
      }
    });

    test("delete removes what was made", async () => {
      await kc(["delete", "deployment", "app", "--timeout=240s"]);
      assert.equal(
        (await kc(["get", "pods", "-l", "app=app", "-o", "name", "--ignore-not-found"])).trim().includes("Running"),
        false,
      );
      assert.match(await knarr(["get", "svc", "-n", namespace]), /app/);
    });
  });
}

async function tryScript(command: string): Promise<string> {
  const { run } = await import("./lib/run.ts");
  const { stdout, stderr } = await run("script", ["-qec", command, "/dev/null"], {
    env: { KUBECONFIG: kubeconfig },
    timeoutMs: 240_000,
  });
  return stdout + stderr;
}
