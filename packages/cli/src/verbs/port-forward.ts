/** `knarr port-forward`: ports of this machine that lead into a pod. Goes on with the next pod of the owner. */

import type { AddressInfo } from "node:net";
import { createServer, type Server, type Socket } from "node:net";
import { core } from "@knarr/api/generated/resources.ts";
import type { Pod, Service } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { objectPath } from "@knarr/apimachinery/resource.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import { parseGoDurationMs } from "@knarr/daemon/flags.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { splitList } from "../core/strings.ts";
import { duration } from "../flags.ts";
import { podsOf } from "../pods-of.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions, type Verb } from "../verb.ts";

interface ForwardOptions extends GlobalOptions {
  readonly address: string;
  readonly podRunningTimeout: string;
}
const POLL_MS = 500;
/** The old channel protocol: each port has a data and an error channel. Source: kubelet's portforward websocket. */
const PROTOCOLS = ["v4.channel.k8s.io"];

export const portForward: Verb = {
  name: "port-forward",
  register(program, context) {
    program
      .command("port-forward")
      .description("Forward one or more local ports to a pod")
      .argument("[pod|type/name]", "a pod, or an object that owns pods")
      .argument("[[local:]remote...]", "ports; :PORT takes any free one here")
      .option("--address <addresses>", "where to listen", "localhost")
      .option("--pod-running-timeout <duration>", "how long to wait for a running pod", duration, "1m0s")
      .action((word: string | undefined, ports: string[], _options: unknown, self: Command) =>
        runForward(word, ports, self.optsWithGlobals<ForwardOptions>(), context),
      );
  },
};

interface Mapping {
  readonly local: number;
  /** A number, or the name of a container's port. */
  readonly remote: string;
}

/** `8080`, `8080:80`, `:80`, `8080:http`. Throws CliError for anything else. */
export function parseMappings(texts: readonly string[]): Mapping[] {
  if (texts.length === 0)
    throw new CliError(
      "TYPE/NAME and list of ports are required for port-forward\nSee 'knarr port-forward -h' for help and examples",
    );
  return texts.map((text) => {
    const [first = "", second, ...more] = text.split(":");
    if (more.length > 0) throw new CliError(`invalid port format '${text}'`);
    const local = second === undefined ? first : first === "" ? "0" : first;
    const isPort = (port: string) => /^\d+$/.test(port) && Number(port) <= 65535;
    if (!isPort(local) && second !== undefined)
      throw new CliError(`error parsing local port '${local}': must be a number from 0 to 65535`);
    const remote = second ?? first;
    if (/^\d+$/.test(remote) && (!isPort(remote) || Number(remote) === 0))
      throw new CliError("remote port must be > 0");
    return { local: isPort(local) ? Number(local) : -1, remote };
  });
}

async function runForward(
  word: string | undefined,
  texts: string[],
  options: ForwardOptions,
  context: CliContext,
): Promise<void> {
  const mappings = parseMappings(texts);
  if (word === undefined) throw new CliError("TYPE/NAME and list of ports are required for port-forward");
  const connection = await connect(options, context);
  const finder = new PodFinder(word, connection, parseGoDurationMs(options.podRunningTimeout), context);
  const first = await finder.pod();
  const service = await serviceOf(word, connection, context);
  const servers: Server[] = [];
  try {
    for (const mapping of mappings) {
      const remote = remotePort(mapping.remote, first, service);
      const local = mapping.local < 0 ? remote : mapping.local;
      for (const address of addressesOf(options.address)) {
        const server = createServer((socket) => void forwardOne(socket, remote, finder, connection, context));
        await listen(server, local, address).catch((error: Error) => {
          // One of the two loopbacks is enough.
          if (options.address === "localhost" && address === "::1") return;
          throw new CliError(
            `unable to listen on port ${local}: Listeners failed to create with the following errors: [unable to create listener: ${error.message}]`,
          );
        });
        if (!server.listening) continue;
        servers.push(server);
        const { port } = server.address() as AddressInfo;
        const host = address.includes(":") ? `[${address}]` : address;
        context.stdout.write(`Forwarding from ${host}:${port} -> ${remote}\n`);
      }
    }
    await new Promise<void>((resolve) => context.signal.addEventListener("abort", () => resolve(), { once: true }));
  } finally {
    for (const server of servers) server.close();
  }
}

const addressesOf = (text: string) => splitList(text).flatMap((a) => (a === "localhost" ? ["127.0.0.1", "::1"] : [a]));

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => resolve());
  });
}

async function serviceOf(
  word: string,
  { client, namespace }: Connection,
  context: CliContext,
): Promise<Service | undefined> {
  const [type = "", name] = word.split("/");
  if (name === undefined || !["service", "services", "svc"].includes(type)) return undefined;
  return client.get(core.services, { namespace, name }, { signal: context.signal });
}

/** A Service's port becomes its target; a name becomes the container's port of that name. */
function remotePort(text: string, pod: Pod, service: Service | undefined): number {
  const named = (name: string) =>
    pod.spec?.containers?.flatMap((c) => c.ports ?? []).find((p) => p.name === name)?.containerPort;
  if (service !== undefined) {
    const entry = service.spec?.ports?.find((p) => String(p.port) === text || p.name === text);
    if (entry === undefined)
      throw new CliError(`Service ${service.metadata.name} does not have a service port ${text}`);
    const target = entry.targetPort ?? entry.port;
    const found = typeof target === "number" ? target : named(target);
    if (found === undefined) throw new CliError(`Pod '${pod.metadata.name}' does not have a named port '${target}'`);
    return found;
  }
  if (/^\d+$/.test(text)) return Number(text);
  const found = named(text);
  if (found === undefined) throw new CliError(`Pod '${pod.metadata.name}' does not have a named port '${text}'`);
  return found;
}

/** The pod to forward to now: the same as long as it runs, then the next one. */
class PodFinder {
  readonly #word: string;
  readonly #connection: Connection;
  readonly #timeoutMs: number;
  readonly #context: CliContext;
  #current: Pod | undefined;

  constructor(word: string, connection: Connection, timeoutMs: number, context: CliContext) {
    this.#word = word;
    this.#connection = connection;
    this.#timeoutMs = timeoutMs;
    this.#context = context;
  }

  async pod(): Promise<Pod> {
    const deadlineMs = systemClock.monotonicMs() + this.#timeoutMs;
    for (;;) {
      const pods = await podsOf(this.#word, this.#connection, this.#context.signal);
      const alive = pods.filter((p) => p.status?.phase === "Running" && p.metadata.deletionTimestamp === undefined);
      const same = alive.find((p) => p.metadata.uid === this.#current?.metadata.uid);
      this.#current = same ?? alive[0];
      if (this.#current !== undefined) return this.#current;
      const [pod] = pods;
      if (pod !== undefined && !this.#word.includes("/") && pod.status?.phase !== "Pending") {
        throw new CliError(`unable to forward port because pod is not running. Current status=${pod.status?.phase}`);
      }
      if (systemClock.monotonicMs() > deadlineMs) throw new CliError("timed out waiting for the condition");
      await systemClock.sleep(POLL_MS, this.#context.signal);
    }
  }
}

async function forwardOne(
  socket: Socket,
  port: number,
  finder: PodFinder,
  { client }: Connection,
  context: CliContext,
): Promise<void> {
  socket.on("error", () => socket.destroy());
  socket.pause();
  try {
    const local = socket.localPort;
    context.stdout.write(`Handling connection for ${local}\n`);
    const pod = await finder.pod();
    const remote = await client.websocket(
      objectPath(core.pods, keyOf(pod), "portforward"),
      { ports: port },
      PROTOCOLS,
      {
        signal: context.signal,
      },
    );
    const skip = { 0: 2, 1: 2 } as Record<number, number>;
    remote.on("message", (frame: Buffer) => {
      const channel = frame[0] as number;
      let data = frame.subarray(1);
      // The first two bytes of each channel repeat the port.
      const header = Math.min(skip[channel] ?? 0, data.length);
      skip[channel] = (skip[channel] ?? 0) - header;
      data = data.subarray(header);
      if (data.length === 0) return;
      if (channel === 0) socket.write(data);
      else context.stderr.write(`E an error occurred forwarding ${local} -> ${port}: ${data.toString("utf8")}\n`);
    });
    remote.on("close", () => socket.end());
    remote.on("error", (error) => {
      context.stderr.write(`E an error occurred forwarding ${local} -> ${port}: ${error.message}\n`);
      socket.destroy();
    });
    socket.on("data", (chunk) => remote.send(Buffer.concat([Buffer.of(0), Buffer.from(chunk)])));
    socket.once("close", () => remote.close());
    socket.resume();
  } catch (error) {
    context.stderr.write(`error: ${(error as Error).message}\n`);
    socket.destroy();
  }
}
