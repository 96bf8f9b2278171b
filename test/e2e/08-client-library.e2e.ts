/** @kubernetes/client-node, unmodified, against a real pod: exec, attach, logs, port-forward. */
import assert from "node:assert/strict";
import { createConnection, createServer } from "node:net";
import { PassThrough } from "node:stream";
import { after, before, test } from "node:test";
import { WEB_IMAGE } from "@knarr/testkit/images/test-images.ts";
import { Attach, CoreV1Api, Exec, KubeConfig, Log, PortForward, type V1Status } from "@kubernetes/client-node";
import { kubeconfig, waitForPods } from "./lib/cluster.ts";
import { eventually } from "./lib/run.ts";

const namespace = "client-library";
const name = "web";
const config = new KubeConfig();

before(async () => {
  config.loadFromFile(kubeconfig);
  const core = config.makeApiClient(CoreV1Api);
  await core.createNamespace({ body: { metadata: { name: namespace } } });
  await eventually("the namespace's default account", 240_000, async () => {
    const { items } = await core.listNamespacedServiceAccount({ namespace });
    return items.length > 0 ? items : undefined;
  });
  const command = [
    "sh",
    "-c",
    "echo to-out; echo to-err >&2; mkdir -p /www; echo hello >/www/index.html; httpd -p 8080 -h /www; while read line; do echo got $line; done; sleep 3600",
  ];
  await core.createNamespacedPod({
    namespace,
    body: {
      metadata: { name, labels: { app: name } },
      spec: { terminationGracePeriodSeconds: 1, containers: [{ name: "c", image: WEB_IMAGE, command, stdin: true }] },
    },
  });
  await waitForPods(namespace, `app=${name}`, 1);
});
after(async () => {
  await config.makeApiClient(CoreV1Api).deleteNamespace({ name: namespace });
});

/** Everything that a stream says until it holds `wanted`. */
function collect(stream: PassThrough): { text: string } {
  const seen = { text: "" };
  stream.on("data", (chunk: Buffer) => {
    seen.text += chunk.toString();
  });
  return seen;
}

async function execute(command: string[], input?: string): Promise<{ out: string; err: string; status: V1Status }> {
  const [out, err] = [new PassThrough(), new PassThrough()];
  const [seenOut, seenErr] = [collect(out), collect(err)];
  const stdin = input === undefined ? null : new PassThrough();
  const ended = Promise.withResolvers<V1Status>();
  await new Exec(config).exec(namespace, name, "c", command, out, err, stdin, false, (status) => ended.resolve(status));
  stdin?.end(input);
  const status = await ended.promise;
  return { out: seenOut.text, err: seenErr.text, status };
}

test("exec gives output, errors and the exit code apart", async () => {
  const { out, err, status } = await execute(["sh", "-c", "echo a; echo b >&2; exit 3"]);
  assert.deepEqual([out, err], ["a\n", "b\n"]);
  assert.equal(status.status, "Failure");
  assert.deepEqual(status.details?.causes, [{ reason: "ExitCode", message: "3" }]);
  assert.equal((await execute(["true"])).status.status, "Success");
});

test("exec passes standard input and its end", async () => {
  const text = "line\n".repeat(20_000);
  assert.equal((await execute(["wc", "-c"], text)).out.trim(), String(text.length));
});

test("logs are read whole, by tail, and followed", async () => {
  const core = config.makeApiClient(CoreV1Api);
  const whole = await core.readNamespacedPodLog({ namespace, name });
  assert.match(whole, /to-out\n/);
  assert.match(whole, /to-err\n/);
  assert.equal((await core.readNamespacedPodLog({ namespace, name, tailLines: 1 })).split("\n").length, 2);
  const stream = new PassThrough();
  const seen = collect(stream);
  // It ends with the pod: the library throws into the void when it is aborted.
  await new Log(config).log(namespace, name, "c", stream, { follow: true, tailLines: 0 });
  const input = new PassThrough();
  const socket = await new Attach(config).attach(
    namespace,
    name,
    "c",
    new PassThrough(),
    new PassThrough(),
    input,
    false,
  );
  input.write("from-attach\n");
  await eventually("the line that attach wrote", 240_000, async () =>
    seen.text.includes("got from-attach") ? true : undefined,
  );
  socket.close();
});

test("port-forward carries HTTP requests, several at once", async () => {
  const forward = new PortForward(config);
  const server = createServer((socket) => void forward.portForward(namespace, name, [8080], socket, null, socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  const get = () =>
    new Promise<string>((resolve, reject) => {
      const client = createConnection(address.port, "127.0.0.1", () => client.write("GET / HTTP/1.0\r\n\r\n"));
      let text = "";
      client.on("data", (chunk: Buffer) => {
        text += chunk.toString();
        if (text.includes("hello")) client.destroy();
      });
      client.on("error", reject);
      client.on("close", () => resolve(text));
    });
  for (const answer of await Promise.all([get(), get(), get()])) assert.match(answer, /200 OK[\s\S]*hello/);
  server.close();
});
