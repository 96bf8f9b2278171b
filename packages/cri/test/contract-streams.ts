/** The contract on streams: exec, attach and port-forward through the URLs that the runtime names, as clients speak them. */
import assert from "node:assert/strict";
import type { Readable } from "node:stream";
import test from "node:test";
import { dialUpgrade } from "../src/dial-upgrade.ts";
import type { StreamRequest } from "../src/runtime.ts";
import { SpdyClient } from "../src/spdy/spdy-client.ts";
import { type ContractKit, containerConfig, say, sleeper, start, until } from "./contract-kit.ts";

const EXEC_PROTOCOL = "v4.channel.k8s.io";
const EVERYTHING: StreamRequest = { tty: false, stdin: true, stdout: true, stderr: true };

async function dial(url: string, protocol = EXEC_PROTOCOL): Promise<SpdyClient> {
  const upgraded = await dialUpgrade(url, { "x-stream-protocol-version": protocol });
  return new SpdyClient(upgraded.socket, upgraded.head);
}

async function text(stream: Readable | undefined): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of stream ?? []) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}

async function streamsOf(url: string, types: readonly string[]) {
  const client = await dial(url);
  const error = await client.openStream({ streamtype: "error" });
  const streams = new Map(
    await Promise.all(types.map(async (t) => [t, await client.openStream({ streamtype: t })] as const)),
  );
  return { client, error, streams };
}

export function streamContract(kit: ContractKit): void {
  test("exec carries input, both outputs and the exit code", async () => {
    await kit.withSandbox(async (given) => {
      const id = await start(given, sleeper("main"));
      const script = ["/bin/sh", "-c", "cat; echo bad >&2; exit 7"];
      const url = await given.runtime.execUrl(id, script, EVERYTHING);
      const { client, error, streams } = await streamsOf(url, ["stdin", "stdout", "stderr"]);
      streams.get("stdin")?.end("hello ".repeat(100_000));
      const [out, err, verdict] = await Promise.all([
        text(streams.get("stdout")),
        text(streams.get("stderr")),
        text(error),
      ]);
      assert.equal(out.length, 600_000);
      assert.equal(err, "bad\n");
      const status = JSON.parse(verdict);
      assert.equal(status.reason, "NonZeroExitCode");
      assert.deepEqual(status.details.causes, [{ reason: "ExitCode", message: "7" }]);
      client.destroy();
      await assert.rejects(dial(url), "a URL is good for one connection");
    });
  });

  test("exec of a command that is not there ends with a failure that names it", async () => {
    await kit.withSandbox(async (given) => {
      const id = await start(given, sleeper("main"));
      const url = await given.runtime.execUrl(id, ["/no/such/command"], EVERYTHING);
      const { client, error, streams } = await streamsOf(url, ["stdin", "stdout", "stderr"]);
      const [out, verdict] = await Promise.all([text(streams.get("stdout")), text(error)]);
      assert.equal(out, "");
      const status = JSON.parse(verdict);
      assert.equal(status.status, "Failure");
      assert.match(status.message, /\/no\/such\/command/);
      client.destroy();
      await assert.rejects(given.runtime.execSync(id, ["/no/such/command"], 60_000), /no such file or directory/);
    });
  });

  test("exec with a terminal has one output, and its size follows the client's", async () => {
    await kit.withSandbox(async (given) => {
      const id = await start(given, sleeper("main"));
      const script = ["/bin/sh", "-c", "read go; stty size; echo done >&2"];
      const url = await given.runtime.execUrl(id, script, { ...EVERYTHING, tty: true, stderr: false });
      const { client, error, streams } = await streamsOf(url, ["stdin", "stdout", "resize"]);
      streams.get("resize")?.write('{"Width":101,"Height":37}\n');
      // The size is set a moment after it was sent, and nothing says when: the terminal itself is asked.
      await until("the terminal's size", async () =>
        (await say(given.runtime, id, "for t in /dev/pts/[0-9]*; do stty size < $t; done")).includes("37 101")
          ? true
          : undefined,
      );
      streams.get("stdin")?.write("go\n");
      const [out, verdict] = await Promise.all([text(streams.get("stdout")), text(error)]);
      assert.match(out, /37 101\r\ndone\r\n/);
      assert.equal(JSON.parse(verdict).status, "Success");
      client.destroy();
    });
  });

  test("attach joins the running process, and its end is the stream's", async () => {
    await kit.withSandbox(async (given) => {
      const script = ["/bin/sh", "-c", "while read -r line; do echo heard $line; test $line = bye && exit 0; done"];
      const id = await start(given, containerConfig("main", script, { stdin: true }));
      const url = await given.runtime.attachUrl(id, { tty: false, stdin: true, stdout: true, stderr: true });
      const { client, error, streams } = await streamsOf(url, ["stdin", "stdout", "stderr"]);
      streams.get("stdin")?.write("one\n");
      streams.get("stdin")?.write("bye\n");
      const [out] = await Promise.all([text(streams.get("stdout")), text(error)]);
      assert.equal(out, "heard one\nheard bye\n");
      client.destroy();
    });
  });

  test("port-forward reaches what listens on the pod's loopback only, and tells when nothing does", async () => {
    await kit.withSandbox(async (given) => {
      const serve = [
        "/bin/sh",
        "-c",
        "mkdir /srv; echo hello > /srv/index.html; exec httpd -f -p 127.0.0.1:8099 -h /srv",
      ];
      const id = await start(given, containerConfig("main", serve));
      await until("the server listens", async () =>
        (await say(given.runtime, id, "netstat -ltn")).includes("127.0.0.1:8099") ? true : undefined,
      );
      const client = await dial(await given.runtime.portForwardUrl(given.sandboxId, [8099]), "portforward.k8s.io");
      for (const requestid of ["0", "1"]) {
        const headers = { port: "8099", requestid };
        const error = await client.openStream({ streamtype: "error", ...headers });
        error.end();
        const data = await client.openStream({ streamtype: "data", ...headers });
        data.write("GET / HTTP/1.0\r\n\r\n");
        assert.match(await text(data), /hello\n$/);
        assert.equal(await text(error), "");
      }
      const headers = { port: "8098", requestid: "2" };
      const error = await client.openStream({ streamtype: "error", ...headers });
      error.end();
      await client.openStream({ streamtype: "data", ...headers });
      assert.match(await text(error), /8098/);
      client.destroy();
    });
  });
}
