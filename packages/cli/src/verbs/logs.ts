/** `knarr logs`: prints a container's output, and goes on with -f until it ends. */

import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { core } from "@knarr/api/generated/resources.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { type ObjectKey, objectPath } from "@knarr/apimachinery/resource.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { parseGoDurationMs } from "@knarr/daemon/flags.ts";
import type { Command } from "commander";
import { printComponentLog } from "../component-logs.ts";
import { connect } from "../connect.ts";
import { dataDirOf } from "../data-dir.ts";
import { defaultContainer } from "../default-container.ts";
import { duration, integer } from "../flags.ts";
import { podsOf } from "../pods-of.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions, type Verb } from "../verb.ts";

interface LogsOptions extends GlobalOptions {
  readonly container?: string;
  readonly follow?: boolean;
  readonly previous?: boolean;
  readonly timestamps?: boolean;
  readonly tail: string;
  readonly since?: string;
  readonly sinceTime?: string;
  readonly limitBytes?: string;
  readonly selector?: string;
  readonly allContainers?: boolean;
  readonly prefix?: boolean;
  readonly dataDir?: string;
}

/** `component/NAME` is a process of the local cluster. */
const COMPONENT = "component/";

export const logs: Verb = {
  name: "logs",
  register(program, context) {
    program
      .command("logs")
      .description("Print the logs for a container in a pod")
      .argument("[pod|type/name]", "a pod, an object that owns pods, or component/NAME of the local cluster")
      .argument("[container]", "container name (same as -c)")
      .option("-c, --container <name>", "container of the pod")
      .option("-f, --follow", "go on as the container writes")
      .option("-p, --previous", "the instance before the last restart")
      .option("--timestamps", "begin each line with its time")
      .option("--tail <lines>", "only the last lines, -1 for all", integer, "-1")
      .option("--since <duration>", "only what is newer, e.g. 5s, 2m, 3h", duration)
      .option("--since-time <time>", "only what is newer than an RFC 3339 time")
      .option("--limit-bytes <bytes>", "at most so many bytes", integer)
      .option("-l, --selector <query>", "pods by label")
      .option("--all-containers", "all containers of the pods")
      .option("--prefix", "begin each line with pod and container")
      .option("--data-dir <path>", "where the local cluster of a component lives")
      .action((word: string | undefined, container: string | undefined, _options: unknown, command: Command) =>
        runLogs(word, container, command.optsWithGlobals<LogsOptions>(), context),
      );
  },
};

async function runLogs(
  word: string | undefined,
  containerWord: string | undefined,
  options: LogsOptions,
  context: CliContext,
): Promise<void> {
  const query = logQuery(options);
  if (word?.startsWith(COMPONENT) === true) {
    const sinceMs =
      options.since !== undefined
        ? Date.now() - parseGoDurationMs(options.since)
        : Date.parse(options.sinceTime ?? "1970-01-01T00:00:00Z");
    const dataDir = dataDirOf(options, context);
    const wanted = { dataDir, follow: options.follow === true, tailLines: Number(options.tail), sinceMs };
    return printComponentLog(word.slice(COMPONENT.length), wanted, context);
  }
  const connection = await connect(options, context);
  const pods = await selectPods(word, options, connection, context);
  const streams = pods.flatMap((pod) =>
    containersOf(pod, options.container ?? containerWord, options, context).map((container) => ({ pod, container })),
  );
  const prefixed = options.prefix === true;
  const one = (pod: Pod, container: string) =>
    copyLog(
      connection,
      keyOf(pod),
      container,
      query,
      prefixed ? `[pod/${pod.metadata.name}/${container}] ` : "",
      context,
    );
  if (options.follow === true) await Promise.all(streams.map(({ pod, container }) => one(pod, container)));
  else for (const { pod, container } of streams) await one(pod, container);
}

function logQuery(options: LogsOptions): Record<string, string | number | boolean> {
  const tail = Number(options.tail);
  if (!Number.isInteger(tail) || tail < -1) throw new CliError("--tail must be greater than or equal to -1");
  if (options.since !== undefined && options.sinceTime !== undefined) {
    throw new CliError("at most one of `sinceTime` or `sinceSeconds` may be specified");
  }
  return {
    ...(options.follow === true ? { follow: true } : {}),
    ...(options.previous === true ? { previous: true } : {}),
    ...(options.timestamps === true ? { timestamps: true } : {}),
    ...(tail >= 0 ? { tailLines: tail } : {}),
    ...(options.since === undefined ? {} : { sinceSeconds: Math.ceil(parseGoDurationMs(options.since) / 1000) }),
    ...(options.sinceTime === undefined ? {} : { sinceTime: options.sinceTime }),
    ...(options.limitBytes === undefined ? {} : { limitBytes: Number(options.limitBytes) }),
  };
}

async function selectPods(
  word: string | undefined,
  options: LogsOptions,
  connection: Connection,
  { signal }: CliContext,
): Promise<readonly Pod[]> {
  if (options.selector !== undefined) {
    if (word !== undefined) throw new CliError("only a selector (-l) or a POD name is allowed");
    const { namespace } = connection;
    const list = await connection.client.list(core.pods, { namespace, labelSelector: options.selector, signal });
    return list.items;
  }
  if (word === undefined)
    throw new CliError(
      "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument for the logs command\nSee 'knarr logs -h' for help and examples",
    );
  const [first] = await podsOf(word, connection, signal).catch((error: unknown) => {
    if (!isNotFound(error) || word.includes("/")) throw error;
    const { message } = error as Error;
    throw new CliError(`error from server (NotFound): ${message} in namespace ${JSON.stringify(connection.namespace)}`);
  });
  if (first === undefined) throw new CliError(`no pods found for ${word}`);
  return [first];
}

function containersOf(pod: Pod, wanted: string | undefined, options: LogsOptions, context: CliContext): string[] {
  const names = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])].map((c) => c.name);
  if (options.allContainers === true) return names;
  if (wanted !== undefined) {
    if (!names.includes(wanted)) {
      throw new CliError(`container ${wanted} is not valid for pod ${pod.metadata.name}, it has: ${names.join(", ")}`);
    }
    return [wanted];
  }
  const { name, note } = defaultContainer(pod);
  if (note !== undefined) context.stderr.write(note);
  return [name];
}

async function copyLog(
  { client }: Connection,
  key: ObjectKey,
  container: string,
  query: Record<string, string | number | boolean>,
  prefix: string,
  context: CliContext,
): Promise<void> {
  const stream = await client.stream({
    method: "GET",
    path: objectPath(core.pods, key, "log"),
    query: { ...query, container },
    signal: context.signal,
  });
  const source: Readable | AsyncGenerator<string> = prefix === "" ? stream : prefixLines(stream, prefix);
  await pipeline(source, context.stdout, { end: false, signal: context.signal });
}

async function* prefixLines(stream: Readable, prefix: string): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of stream.setEncoding("utf8") as AsyncIterable<string>) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) yield `${prefix}${line}\n`;
  }
  if (rest !== "") yield `${prefix}${rest}`;
}
