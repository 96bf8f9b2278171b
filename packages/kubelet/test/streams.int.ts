/** exec, attach, port-forward and logs through 10250, with the protocols that clients of different ages speak. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { get } from "node:https";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { dialUpgrade } from "@knarr/cri/dial-upgrade.ts";
import { SpdyClient } from "@knarr/cri/spdy/spdy-client.ts";
import { isolatedTest, removeCgroups } from "@knarr/testkit/isolated-test.ts";
import { WebSocket } from "ws";
import { startKubelet, type TestKubelet } from "./start-kubelet.ts";
import { startRuntime, type TestRuntime } from "./start-runtime.ts";

const MANIFEST = `
apiVersion: v1
kind: Pod
metadata: { name: shell }
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: knarr.local/web:1
    - name: reader
      image: knarr.local/busybox:1
      stdin: true
      command: [/bin/sh, -c, "while read -r line; do echo heard $line; done; sleep 1000"]
    - name: talker
      image: knarr.local/busybox:1
      command: [/bin/sh, -c, "echo first; echo second; sleep 0.1; echo third >&2; sleep 1000"]
`;

if (await isolatedTest(import.meta)) {
  const cgroupRoot = `/knarr-test-${process.ppid}-${Date.now()}`;
  let containerd: TestRuntime;
  let kubelet: TestKubelet;
  before(async () => {
    containerd = await startRuntime({ subnet: "10.88.9.0/24" });
    kubelet = await startKubelet({
      directory: join(containerd.directory, "node"),
      endpoint: containerd.endpoint,
      cgroupRoot,
      args: ["--anonymous-auth=true", "--authorization-mode=AlwaysAllow", ...containerd.kubeletArgs],
    });
    await writeFile(join(kubelet.manifests, "shell.yaml"), MANIFEST);
    for (let attempt = 0; !(await logs("talker", "")).text.includes("third"); attempt++) {
      assert.ok(attempt < 1200, `the pod never ran: ${kubelet.output()}`);
      await sleep(50);
    }
  });
  after(async () => {
    if (process.env.KNARR_SHOW_OUTPUT !== undefined) process.stderr.write(kubelet.output());
    await kubelet.stop();
    await containerd.stop();
    await removeCgroups(cgroupRoot);
  });

  const base = () => `127.0.0.1:${kubelet.port}`;
  const logs = (container: string, query: string, until?: RegExp): Promise<{ status: number; text: string }> =>
    new Promise((resolve, reject) => {
      const url = `https://${base()}/containerLogs/default/shell-node-1/${container}${query}`;
      const outgoing = get(url, { rejectUnauthorized: false }, (response) => {
        let text = "";
        const finish = () => resolve({ status: response.statusCode ?? 0, text });
        response.on("data", (part: Buffer) => {
          text += part.toString();
          if (until?.test(text) !== true) return;
          finish();
          outgoing.destroy();
        });
        response.once("end", finish);
      });
      outgoing.once("error", reject);
    });

  interface Exchange {
    readonly channels: ReadonlyMap<number, string>;
    readonly protocol: string;
  }

  const overWebSocket = (path: string, protocols: string[], send: (socket: WebSocket) => void): Promise<Exchange> =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(`wss://${base()}${path}`, protocols, { rejectUnauthorized: false });
      const channels = new Map<number, string>();
      socket.on("message", (data, isBinary) => {
        const bytes = data as Buffer;
        const channel = isBinary ? (bytes[0] ?? -1) : Number(bytes.toString()[0]);
        const text = isBinary ? bytes.toString("utf8", 1) : Buffer.from(bytes.toString().slice(1), "base64").toString();
        channels.set(channel, (channels.get(channel) ?? "") + text);
      });
      socket.once("open", () => send(socket));
      socket.once("error", reject);
      socket.once("close", () => resolve({ channels, protocol: socket.protocol }));
    });

  const execPath = (command: readonly string[], streams: string) =>
    `/exec/default/shell-node-1/main?${command.map((c) => `command=${encodeURIComponent(c)}`).join("&")}&${streams}`;

  const script = ["/bin/sh", "-c", "cat; echo err >&2; exit 3"];

  test("exec over v5 half-closes stdin and ends with a Status that has the exit code", async () => {
    const { channels, protocol } = await overWebSocket(
      execPath(script, "input=1&output=1&error=1"),
      ["v5.channel.k8s.io", "v4.channel.k8s.io"],
      (socket) => {
        socket.send(Buffer.from("\u0000hello"));
        socket.send(Buffer.from([255, 0]));
      },
    );
    assert.equal(protocol, "v5.channel.k8s.io");
    assert.equal(channels.get(1), "hello");
    assert.equal(channels.get(2), "err\n");
    const status = JSON.parse(channels.get(3) ?? "");
    assert.equal(status.reason, "NonZeroExitCode");
    assert.deepEqual(status.details.causes, [{ reason: "ExitCode", message: "3" }]);
  });

  test("exec passes a megabyte in each direction unharmed", async () => {
    const sent = Buffer.alloc(1 << 20, "0123456789abcdef");
    const { channels } = await overWebSocket(execPath(["cat"], "input=1&output=1"), ["v5.channel.k8s.io"], (socket) => {
      for (let at = 0; at < sent.length; at += 65_536) {
        socket.send(Buffer.concat([Buffer.from([0]), sent.subarray(at, at + 65_536)]));
      }
      socket.send(Buffer.from([255, 0]));
    });
    assert.equal(channels.get(1), sent.toString());
    assert.equal(JSON.parse(channels.get(3) ?? "").status, "Success");
  });

  test("exec over base64 v4 carries text frames, and the oldest protocol no status for a success", async () => {
    const v4 = await overWebSocket(execPath(["echo", "hi"], "output=1"), ["v4.base64.channel.k8s.io"], () => {});
    assert.equal(v4.channels.get(1), "hi\n");
    assert.equal(JSON.parse(v4.channels.get(3) ?? "").status, "Success");
    const oldest = await overWebSocket(execPath(["echo", "hi"], "output=1"), ["channel.k8s.io"], () => {});
    assert.deepEqual([...oldest.channels], [[1, "hi\n"]]);
  });

  test("exec with a terminal takes its size from channel 4", async () => {
    const wait = "until [ \"$(stty size 2>/dev/null)\" = '40 100' ] || [ $i = 600 ]; do i=$((i+1)); sleep 0.1; done";
    const command = ["/bin/sh", "-c", `i=0; ${wait}; stty size`];
    const { channels } = await overWebSocket(execPath(command, "output=1&tty=1"), ["v4.channel.k8s.io"], (socket) => {
      socket.send(Buffer.concat([Buffer.from([4]), Buffer.from(JSON.stringify({ Width: 100, Height: 40 }))]));
    });
    assert.equal(channels.get(1)?.trim(), "40 100");
  });

  test("exec over SPDY is passed to the runtime byte for byte", async () => {
    const url = `https://${base()}${execPath(script, "input=1&output=1&error=1")}`;
    const { socket, head, headers } = await dialUpgrade(url, { "x-stream-protocol-version": "v4.channel.k8s.io" });
    assert.equal(headers["x-stream-protocol-version"], "v4.channel.k8s.io");
    const spdy = new SpdyClient(socket, head);
    const error = await spdy.openStream({ streamtype: "error" });
    const stdin = await spdy.openStream({ streamtype: "stdin" });
    const stdout = await spdy.openStream({ streamtype: "stdout" });
    const stderr = await spdy.openStream({ streamtype: "stderr" });
    stdin.end("over spdy");
    const read = async (stream: AsyncIterable<Buffer>) => Buffer.concat(await Array.fromAsync(stream)).toString();
    const [out, err, verdict] = await Promise.all([read(stdout), read(stderr), read(error)]);
    assert.deepEqual([out, err], ["over spdy", "err\n"]);
    assert.equal(JSON.parse(verdict).reason, "NonZeroExitCode");
    spdy.destroy();
  });

  test("attach joins the running process", async () => {
    const path = "/attach/default/shell-node-1/reader?input=1&output=1";
    const { channels } = await overWebSocket(path, ["v5.channel.k8s.io"], (socket) => {
      socket.send(Buffer.from("\u0000me\n"));
      socket.on("message", (data) => {
        if ((data as Buffer).toString().includes("heard me")) socket.close();
      });
    });
    assert.match(channels.get(1) ?? "", /heard me/);
  });

  test("a refused exec answers the upgrade with a plain error", async () => {
    await assert.rejects(
      overWebSocket("/exec/default/shell-node-1/nobody?command=ls&output=1", ["v4.channel.k8s.io"], () => {}),
      /500/,
    );
    await assert.rejects(
      overWebSocket(execPath(["ls"], "output=1"), ["v9.channel.k8s.io"], () => {}),
      /400/,
    );
  });

  const httpRequest = "GET /healthz HTTP/1.0\r\n\r\n";

  test("port-forward over SPDY and over channels reaches a port inside the pod", async () => {
    const url = `https://${base()}/portForward/default/shell-node-1`;
    const { socket, head } = await dialUpgrade(url, { "x-stream-protocol-version": "portforward.k8s.io" });
    const spdy = new SpdyClient(socket, head);
    const streamHeaders = { port: "8080", requestid: "1" };
    const error = await spdy.openStream({ streamtype: "error", ...streamHeaders });
    error.end();
    const data = await spdy.openStream({ streamtype: "data", ...streamHeaders });
    data.write(httpRequest);
    let text = "";
    for await (const part of data) {
      text += (part as Buffer).toString();
      if (text.includes("ok\n")) break;
    }
    assert.match(text, /200 OK[\s\S]*ok\n$/);
    spdy.destroy();

    const path = "/portForward/default/shell-node-1?port=8080";
    const { channels } = await overWebSocket(path, ["v4.channel.k8s.io"], (ws) => {
      ws.send(Buffer.concat([Buffer.from([0]), Buffer.from(httpRequest)]));
      ws.on("message", (m) => {
        if ((m as Buffer).toString().includes("ok\n")) ws.close();
      });
    });
    assert.match(channels.get(0) ?? "", /200 OK[\s\S]*ok\n$/);
  });

  test("port-forward tunnels SPDY through a WebSocket, as kubectl 1.31 and later do", async () => {
    const protocol = "SPDY/3.1+portforward.k8s.io";
    const { createWebSocketStreamOverTunnel } = await import("./tunnel-client.ts");
    const tunnel = await createWebSocketStreamOverTunnel(base(), "/portForward/default/shell-node-1", protocol);
    const spdy = new SpdyClient(tunnel, Buffer.alloc(0));
    const error = await spdy.openStream({ streamtype: "error", port: "8080", requestid: "1" });
    error.end();
    const data = await spdy.openStream({ streamtype: "data", port: "8080", requestid: "1" });
    data.write(httpRequest);
    let text = "";
    for await (const part of data) {
      text += (part as Buffer).toString();
      if (text.includes("ok\n")) break;
    }
    assert.match(text, /200 OK/);
    spdy.destroy();
  });

  const tails: { query: string; want: string }[] = [
    { query: "?tailLines=2", want: "second\nthird\n" },
    { query: "?tailLines=0", want: "" },
    { query: "?limitBytes=8&stream=Stdout", want: "first\nse" },
    { query: "?stream=Stderr", want: "third\n" },
    { query: "?sinceSeconds=100000&stream=Stderr", want: "third\n" },
    { query: "?sinceTime=2999-01-01T00:00:00Z", want: "" },
  ];
  for (const { query, want } of tails) {
    test(`containerLogs${query} gives ${JSON.stringify(want)}`, async () => {
      const { text } = await logs("talker", query);
      assert.equal(text, want);
    });
  }

  test("containerLogs follows, stamps times, and refuses what is not there", async () => {
    const { text } = await logs("talker", "?follow=true&timestamps=true", /third\n/);
    assert.match(text, /^\d{4}-\d\d-\d\dT\S+Z first\n\S+Z second\n\S+Z third\n$/);
    assert.equal((await logs("talker", "?previous=true")).status, 400);
    assert.equal((await logs("nobody", "")).status, 404);
    assert.equal((await logs("talker", "?tailLines=-1")).status, 422);
  });
}
