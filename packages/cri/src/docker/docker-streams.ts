/** Commands, attachments and port-forwards on Docker. Streams are served by a server of our own, on this machine only. */
import type { CallOptions, ExecResult, StreamRequest, StreamService } from "../runtime.ts";
import { RuntimeError } from "../runtime-error.ts";
import { type DockerContext, inspectOwned } from "./docker-context.ts";
import { EngineExec, startFailure } from "./engine-exec.ts";
import { serveAttach, serveExec } from "./serve-exec.ts";
import { servePortForward } from "./serve-port-forward.ts";
import { StreamServer } from "./stream-server.ts";

/** Source: containerd and the kubelet cut the output of a probe or hook at 16 MiB */
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;

export class DockerStreams implements StreamService {
  readonly #context: DockerContext;
  readonly #server = new StreamServer();

  constructor(context: DockerContext) {
    this.#context = context;
  }

  async execSync(
    id: string,
    command: readonly string[],
    timeoutMs: number,
    options: CallOptions = {},
  ): Promise<ExecResult> {
    await this.#assertRunning(id, options);
    const request = { tty: false, stdin: false, stdout: true, stderr: true };
    const exec = await EngineExec.start(this.#context.engine, id, command, request, options);
    const deadline = new AbortController();
    const limitMs = timeoutMs > 0 ? timeoutMs : this.#context.engine.requestTimeoutMs;
    const timer = setTimeout(() => deadline.abort(), limitMs);
    const signal = options.signal === undefined ? deadline.signal : AbortSignal.any([options.signal, deadline.signal]);
    const output = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    let length = 0;
    try {
      const exitCode = await exec.finish(
        {
          write: (stream, data) => {
            length += data.length;
            if (length <= MAX_OUTPUT_BYTES) output[stream].push(data);
          },
        },
        signal,
      );
      const stdout = Buffer.concat(output.stdout);
      const failure = startFailure(exitCode, stdout.toString("utf8", 0, 4096));
      if (failure !== undefined) throw failure;
      return { stdout, stderr: Buffer.concat(output.stderr), exitCode };
    } catch (error) {
      if (!signal.aborted) throw error;
      await exec.kill();
      options.signal?.throwIfAborted();
      const text = `timeout ${limitMs / 1000}s exceeded: context deadline exceeded`;
      throw new RuntimeError("DeadlineExceeded", `failed to exec in container: ${text}`, { cause: error });
    } finally {
      clearTimeout(timer);
    }
  }

  async execUrl(
    id: string,
    command: readonly string[],
    request: StreamRequest,
    options: CallOptions = {},
  ): Promise<string> {
    await this.#assertRunning(id, options);
    const { engine } = this.#context;
    return await this.#server.offer("exec", (upgrade) => serveExec(engine, { id, command, request }, upgrade));
  }

  async attachUrl(id: string, request: StreamRequest, options: CallOptions = {}): Promise<string> {
    const { Config } = await this.#assertRunning(id, options);
    const { engine } = this.#context;
    // A terminal is the container's, whatever the client asks for.
    const attachment = { id, request: { ...request, tty: Config.Tty, stdin: request.stdin && Config.OpenStdin } };
    return await this.#server.offer("attach", (upgrade) => serveAttach(engine, attachment, upgrade));
  }

  async portForwardUrl(sandboxId: string, _ports: readonly number[], options: CallOptions = {}): Promise<string> {
    const { inspected } = await inspectOwned(this.#context, "sandbox", sandboxId, options);
    if (!inspected.State.Running) throw new RuntimeError("Unknown", `sandbox ${sandboxId} is not running`);
    const target = { sandboxId, netns: `/proc/${inspected.State.Pid}/ns/net` };
    return await this.#server.offer("portforward", (upgrade) => servePortForward(target, upgrade));
  }

  async #assertRunning(id: string, options: CallOptions) {
    const { inspected } = await inspectOwned(this.#context, "container", id, options);
    if (inspected.State.Running) return inspected;
    const word = inspected.State.Status === "created" ? "CONTAINER_CREATED" : "CONTAINER_EXITED";
    throw new RuntimeError("Unknown", `container is in ${word} state`);
  }

  close(): void {
    this.#server.close();
  }
}
