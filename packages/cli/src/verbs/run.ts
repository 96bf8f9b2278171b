/** `knarr run`: a pod from an image, attached to if asked. */
import { core } from "@knarr/api/generated/resources.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import { parseGoDurationMs } from "@knarr/daemon/flags.ts";
import type { Command } from "commander";
import { attachTo } from "../attach-to.ts";
import { connect } from "../connect.ts";
import { collectWhole, duration } from "../flags.ts";
import { patchLocally } from "../local-patch.ts";
import { addDryRunFlag, addPrintFlags, type PrintOptions, parseDryRun, ResultPrinter } from "../print.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions, RemoteExitError, type Verb } from "../verb.ts";
import { pairsOf } from "./expose.ts";

interface RunOptions extends GlobalOptions, PrintOptions {
  readonly image?: string;
  readonly command?: boolean;
  readonly env?: readonly string[];
  readonly labels?: string;
  readonly annotations?: readonly string[];
  readonly port?: string;
  readonly expose?: boolean;
  readonly restart: string;
  readonly imagePullPolicy?: string;
  readonly privileged?: boolean;
  readonly overrides?: string;
  readonly overrideType: string;
  readonly stdin?: boolean;
  readonly tty?: boolean;
  readonly attach?: boolean;
  readonly rm?: boolean;
  readonly quiet?: boolean;
  readonly podRunningTimeout: string;
  readonly dryRun?: string;
}
const POLL_MS = 200;

export const run: Verb = {
  name: "run",
  register(program, context) {
    const command = program
      .command("run")
      .description("Run a particular image on the cluster")
      .argument("[name]", "the pod's name")
      .argument("[args...]", "arguments of the container, or with --command its command")
      .option("--image <image>", "image to run")
      .option("--command", "what follows -- is the command, not its arguments")
      .option("--env <key=value>", "a variable, can be repeated", collectWhole)
      .option("-l, --labels <labels>", "labels of the pod")
      .option("--annotations <key=value>", "an annotation, can be repeated", collectWhole)
      .option("--port <n>", "port that the container exposes")
      .option("--expose", "also make a Service for --port")
      .option("--restart <policy>", "Always, OnFailure or Never", "Always")
      .option("--image-pull-policy <policy>", "Always, IfNotPresent or Never")
      .option("--privileged", "run the container privileged")
      .option("--overrides <json>", "fields of the pod to change")
      .option("--override-type <type>", "json, merge or strategic", "merge")
      .option("-i, --stdin", "keep standard input open")
      .option("-t, --tty", "give the container a terminal")
      .option("--attach", "attach to the container")
      .option("--rm", "delete the pod when it has ended")
      .option("-q, --quiet", "say nothing of its own")
      .option("--pod-running-timeout <duration>", "how long to wait for the pod", duration, "1m0s")
      .option("--field-manager <name>", "who owns the fields", "kubectl-run");
    addPrintFlags(addDryRunFlag(command)).action(
      (name: string | undefined, words: string[], _options: unknown, self: Command) =>
        runRun(name, words, self.optsWithGlobals<RunOptions>(), context),
    );
  },
};

async function runRun(
  name: string | undefined,
  words: string[],
  options: RunOptions,
  context: CliContext,
): Promise<void> {
  if (name === undefined) throw new CliError("NAME is required for run");
  if (options.image === undefined) throw new CliError('required flag(s) "image" not set');
  if (!["Always", "OnFailure", "Never"].includes(options.restart)) {
    throw new CliError(`invalid restart policy: ${options.restart}`);
  }
  const attaches = options.attach === true || options.stdin === true;
  const dryRun = parseDryRun(options.dryRun);
  if (options.tty === true && options.stdin !== true)
    throw new CliError("-i/--stdin is required for containers with -t/--tty=true");
  if (options.rm === true && !attaches) throw new CliError("--rm should only be used for attached containers");
  if (attaches && dryRun !== "none")
    throw new CliError("--dry-run=client can't be used with attached containers options (--attach, --stdin, or --tty)");
  if (options.expose === true && options.port === undefined)
    throw new CliError("--port must be set when exposing a service");
  const printer = new ResultPrinter(options, context);
  const pod = podOf(name, words, options);
  const service = options.expose === true ? serviceOf(name, options) : undefined;
  if (dryRun === "client") {
    const placed = (object: KubeObject) =>
      options.namespace === undefined
        ? object
        : { ...object, metadata: { ...object.metadata, namespace: options.namespace } };
    if (service !== undefined) printer.print(placed(service), "created");
    printer.print(placed(pod), "created");
    return;
  }
  const connection = await connect(options, context);
  const { client, namespace } = connection;
  const settings = { dryRun: dryRun === "server", fieldManager: "kubectl-run", signal: context.signal };
  const inNamespace = <T extends KubeObject>(object: T) => ({ ...object, metadata: { ...object.metadata, namespace } });
  if (service !== undefined) {
    await client.create(core.services, inNamespace(service), settings);
    printer.print(service, "created");
  }
  const made = await client.create(core.pods, inNamespace(pod), settings);
  if (!attaches) {
    printer.print({ ...made, apiVersion: "v1", kind: "Pod" } as KubeObject, "created");
    return;
  }
  await attachAndWait(made, options, connection, context);
}

function podOf(name: string, words: readonly string[], options: RunOptions): Pod {
  const labels = options.labels === undefined ? { run: name } : pairsOf(options.labels);
  const annotations = Object.fromEntries((options.annotations ?? []).map((pair) => pair.split("=", 2)));
  const env = (options.env ?? []).map((pair) => {
    const equals = pair.indexOf("=");
    if (equals < 1) throw new CliError(`invalid env: ${pair}`);
    return { name: pair.slice(0, equals), value: pair.slice(equals + 1) };
  });
  const container = {
    ...(words.length === 0 ? {} : options.command === true ? { command: [...words] } : { args: [...words] }),
    ...(env.length === 0 ? {} : { env }),
    image: options.image,
    ...(options.imagePullPolicy === undefined ? {} : { imagePullPolicy: options.imagePullPolicy }),
    name,
    ...(options.port === undefined ? {} : { ports: [{ containerPort: Number(options.port) }] }),
    resources: {},
    ...(options.privileged === true ? { securityContext: { privileged: true } } : {}),
    ...(options.stdin === true ? { stdin: true, stdinOnce: true } : {}),
    ...(options.tty === true ? { tty: true } : {}),
  };
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { ...(Object.keys(annotations).length === 0 ? {} : { annotations }), labels, name },
    spec: { containers: [container], dnsPolicy: "ClusterFirst", restartPolicy: options.restart },
    status: {},
  } as Pod;
  if (options.overrides === undefined) return pod;
  let overrides: unknown;
  try {
    overrides = JSON.parse(options.overrides);
  } catch (error) {
    throw new CliError(`--overrides is no JSON: ${(error as Error).message}`);
  }
  return patchLocally(pod, options.overrideType, overrides) as Pod;
}

function serviceOf(name: string, options: RunOptions) {
  const port = Number(options.port);
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name },
    spec: { ports: [{ port, protocol: "TCP", targetPort: port }], selector: { run: name } },
    status: { loadBalancer: {} },
  };
}

async function attachAndWait(
  made: Pod,
  options: RunOptions,
  connection: Connection,
  context: CliContext,
): Promise<void> {
  const { client } = connection;
  const key = { namespace: made.metadata.namespace ?? "", name: made.metadata.name ?? "" };
  const ended = (pod: Pod) => pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
  const deadlineMs = systemClock.monotonicMs() + parseGoDurationMs(options.podRunningTimeout);
  try {
    const runs = (pod: Pod) =>
      ended(pod) || pod.status?.containerStatuses?.some((c) => c.state?.running !== undefined) === true;
    let pod = await pollPod(connection, key, runs, deadlineMs, context);
    if (ended(pod)) {
      const stream = await client.stream({
        method: "GET",
        path: `/api/v1/namespaces/${key.namespace}/pods/${key.name}/log`,
        signal: context.signal,
      });
      for await (const chunk of stream) context.stdout.write(chunk as Buffer);
    } else {
      if (options.quiet !== true && options.stdin === true) {
        context.stderr.write(
          "All commands and output from this session will be recorded in container logs, including credentials and sensitive information passed through the command prompt.\nIf you don't see a command prompt, try pressing enter.\n",
        );
      }
      await attachTo(pod, undefined, { stdin: options.stdin === true, tty: options.tty === true }, connection, context);
    }
    if (options.restart === "Always") return;
    pod = await pollPod(connection, key, ended, Number.POSITIVE_INFINITY, context);
    const code = pod.status?.containerStatuses?.[0]?.state?.terminated?.exitCode ?? 0;
    if (code !== 0) throw new RemoteExitError(code);
  } finally {
    if (options.rm === true) {
      await client.delete(core.pods, key, {}).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
      if (options.quiet !== true) context.stdout.write(`pod "${key.name}" deleted from ${key.namespace} namespace\n`);
    }
  }
}

async function pollPod(
  { client }: Connection,
  key: { namespace: string; name: string },
  is: (pod: Pod) => boolean,
  deadlineMs: number,
  context: CliContext,
): Promise<Pod> {
  for (;;) {
    const pod = await client.get(core.pods, key, { signal: context.signal });
    if (is(pod)) return pod;
    if (systemClock.monotonicMs() > deadlineMs) throw new CliError("timed out waiting for the condition");
    await systemClock.sleep(POLL_MS, context.signal);
  }
}
