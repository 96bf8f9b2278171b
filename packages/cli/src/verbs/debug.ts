/** `knarr debug`: an ephemeral container in a pod, a changed copy of a pod, or a pod in a node's namespaces. */
import { randomBytes } from "node:crypto";
import { core } from "@knarr/api/generated/resources.ts";
import type { Container, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { objectPath } from "@knarr/apimachinery/resource.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import type { Command } from "commander";
import { attachTo } from "../attach-to.ts";
import { connect } from "../connect.ts";
import { collectWhole } from "../flags.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions, type Verb } from "../verb.ts";

interface DebugOptions extends GlobalOptions {
  readonly image?: string;
  readonly container?: string;
  readonly target?: string;
  readonly copyTo?: string;
  readonly shareProcesses: boolean;
  readonly sameNode?: boolean;
  readonly replace?: boolean;
  readonly setImage?: readonly string[];
  readonly env?: readonly string[];
  readonly profile: string;
  readonly stdin?: boolean;
  readonly tty?: boolean;
  readonly attach?: boolean;
  readonly quiet?: boolean;
  readonly imagePullPolicy?: string;
  readonly argumentsOnly?: boolean;
}
const POLL_MS = 200;
const START_TIMEOUT_MS = 60_000;
const PROFILES = ["legacy", "general", "baseline", "netadmin", "restricted", "sysadmin"];

export const debug: Verb = {
  name: "debug",
  register(program, context) {
    program
      .command("debug")
      .description("Create debugging sessions for troubleshooting workloads and nodes")
      .argument("<pod|node/name>", "what to debug")
      .argument("[command...]", "the command, after --")
      .option("--image <image>", "image of the debugging container")
      .option("-c, --container <name>", "name of the debugging container")
      .option("--target <container>", "container whose processes are shared")
      .option("--copy-to <name>", "debug a copy of the pod")
      .option("--share-processes", "with --copy-to: one process namespace", true)
      .option("--no-share-processes", "with --copy-to: each container its own process namespace")
      .option("--same-node", "with --copy-to: on the same node")
      .option("--replace", "with --copy-to: delete the original")
      .option("--set-image <name=image>", "with --copy-to: change images", collectWhole)
      .option("--env <key=value>", "a variable, can be repeated", collectWhole)
      .option("--profile <name>", PROFILES.join(", "), "general")
      .option("--image-pull-policy <policy>", "Always, IfNotPresent or Never")
      .option("--arguments-only", "what follows -- are arguments, not the command")
      .option("-i, --stdin", "keep standard input open")
      .option("-t, --tty", "give the container a terminal")
      .option("--attach", "attach to the container")
      .option("-q, --quiet", "say nothing of its own")
      .action((word: string, words: string[], _options: unknown, self: Command) =>
        runDebug(word, words, self.optsWithGlobals<DebugOptions>(), context),
      );
  },
};

async function runDebug(word: string, words: string[], options: DebugOptions, context: CliContext): Promise<void> {
  if (options.image === undefined && options.copyTo === undefined)
    throw new CliError("you must specify --image when not using --copy-to.");
  if (!PROFILES.includes(options.profile))
    throw new CliError(`unknown profile: ${options.profile}; must be one of ${PROFILES.join(", ")}`);
  if (options.tty === true && options.stdin !== true)
    throw new CliError("-i/--stdin is required for containers with -t/--tty=true");
  const connection = await connect(options, context);
  const [type = "", named] = word.split("/");
  const isNode = named !== undefined && ["node", "nodes", "no"].includes(type);
  const key = { namespace: connection.namespace, name: isNode ? "" : (named ?? word) };
  const session = isNode
    ? await debugNode(named, words, options, connection, context)
    : options.copyTo !== undefined
      ? await debugCopy(key, words, options, connection, context)
      : await debugPod(key, words, options, connection, context);
  if (options.attach !== true && options.stdin !== true) return;
  const pod = await untilStarted(session, connection, context);
  await attachTo(
    pod,
    session.container,
    { stdin: options.stdin === true, tty: options.tty === true },
    connection,
    context,
  );
}

interface Session {
  readonly pod: { readonly namespace: string; readonly name: string };
  readonly container: string;
}

function containerOf(name: string, words: readonly string[], options: DebugOptions): Container {
  const env = (options.env ?? []).map((pair) => {
    const equals = pair.indexOf("=");
    return { name: pair.slice(0, equals), value: pair.slice(equals + 1) };
  });
  return {
    name,
    image: options.image ?? "",
    imagePullPolicy: options.imagePullPolicy ?? "IfNotPresent",
    terminationMessagePolicy: "File",
    ...(words.length === 0 ? {} : options.argumentsOnly === true ? { args: [...words] } : { command: [...words] }),
    ...(env.length === 0 ? {} : { env }),
    ...(options.stdin === true ? { stdin: true } : {}),
    ...(options.tty === true ? { tty: true } : {}),
    ...securityOf(options.profile),
  };
}

/** Source: kubernetes.io/docs/tasks/debug/debug-application/debug-running-pod/#debugging-profiles */
function securityOf(profile: string): Pick<Container, "securityContext"> | object {
  switch (profile) {
    case "general":
      return { securityContext: { capabilities: { add: ["SYS_PTRACE"] } } };
    case "netadmin":
      return { securityContext: { capabilities: { add: ["NET_ADMIN", "NET_RAW"] } } };
    case "sysadmin":
      return { securityContext: { privileged: true } };
    case "restricted":
      return {
        securityContext: {
          runAsNonRoot: true,
          allowPrivilegeEscalation: false,
          capabilities: { drop: ["ALL"] },
          seccompProfile: { type: "RuntimeDefault" },
        },
      };
    default:
      return {};
  }
}

const suffix = () => randomBytes(3).toString("hex").slice(0, 5);

async function debugPod(
  key: { namespace: string; name: string },
  words: readonly string[],
  options: DebugOptions,
  { client }: Connection,
  context: CliContext,
): Promise<Session> {
  const container = options.container ?? `debugger-${suffix()}`;
  if (options.quiet !== true) context.stdout.write(`Defaulting debug container name to ${container}.\n`);
  const added = {
    ...containerOf(container, words, options),
    ...(options.target === undefined ? {} : { targetContainerName: options.target }),
  };
  await client.request({
    method: "PATCH",
    path: objectPath(core.pods, key, "ephemeralcontainers"),
    query: { fieldManager: "kubectl-debug" },
    headers: { "content-type": "application/strategic-merge-patch+json" },
    body: JSON.stringify({ spec: { ephemeralContainers: [added] } }),
    signal: context.signal,
  });
  return { pod: key, container };
}

async function debugCopy(
  key: { namespace: string; name: string },
  words: readonly string[],
  options: DebugOptions,
  { client }: Connection,
  context: CliContext,
): Promise<Session> {
  const original = await client.get(core.pods, key, { signal: context.signal });
  const { nodeName, ...spec } = original.spec ?? { containers: [] };
  const containers = structuredClone(spec.containers ?? []) as Container[];
  for (const pair of options.setImage ?? []) {
    const [name = "", image = ""] = pair.split("=", 2);
    const chosen = containers.filter((c) => name === "*" || c.name === name);
    if (chosen.length === 0) throw new CliError(`unable to find container named ${JSON.stringify(name)}`);
    for (const container of chosen) container.image = image;
  }
  const name = options.container ?? `debugger-${suffix()}`;
  const known = containers.find((c) => c.name === name);
  if (known !== undefined) {
    if (options.image !== undefined) known.image = options.image;
    if (words.length > 0) known.command = [...words];
    if (options.stdin === true) known.stdin = true;
    if (options.tty === true) known.tty = true;
  } else if (options.image !== undefined) containers.push(containerOf(name, words, options));
  const copy: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    // Without labels: no Service and no controller takes the copy for one of its pods.
    metadata: {
      name: options.copyTo ?? "",
      namespace: key.namespace,
      annotations: original.metadata.annotations ?? {},
    },
    spec: {
      ...spec,
      containers,
      ...(options.shareProcesses ? { shareProcessNamespace: true } : {}),
      ...(options.sameNode === true && nodeName !== undefined ? { nodeName } : {}),
    },
  };
  if (options.replace === true) await client.delete(core.pods, key, { signal: context.signal });
  await client.create(core.pods, copy, { fieldManager: "kubectl-debug", signal: context.signal });
  return { pod: { namespace: key.namespace, name: options.copyTo ?? "" }, container: name };
}

async function debugNode(
  node: string,
  words: readonly string[],
  options: DebugOptions,
  { client, namespace }: Connection,
  context: CliContext,
): Promise<Session> {
  await client.get(core.nodes, { namespace: "", name: node }, { signal: context.signal });
  const container = options.container ?? "debugger";
  const pod = { namespace, name: `node-debugger-${node}-${suffix()}` };
  context.stdout.write(`Creating debugging pod ${pod.name} with container ${container} on node ${node}.\n`);
  const host = { hostIPC: true, hostNetwork: true, hostPID: true };
  await client.create(
    core.pods,
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { ...pod, labels: { "app.kubernetes.io/managed-by": "kubectl-debug" } },
      spec: {
        ...(options.profile === "restricted" || options.profile === "baseline" ? {} : host),
        containers: [
          { ...containerOf(container, words, options), volumeMounts: [{ mountPath: "/host", name: "host-root" }] },
        ],
        nodeName: node,
        restartPolicy: "Never",
        tolerations: [{ operator: "Exists" }],
        volumes: [{ name: "host-root", hostPath: { path: "/" } }],
      },
    },
    { fieldManager: "kubectl-debug", signal: context.signal },
  );
  return { pod, container };
}

async function untilStarted(
  { pod: key, container }: Session,
  { client }: Connection,
  context: CliContext,
): Promise<Pod> {
  const deadlineMs = systemClock.monotonicMs() + START_TIMEOUT_MS;
  for (;;) {
    const pod = await client.get(core.pods, key, { signal: context.signal });
    const statuses = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.ephemeralContainerStatuses ?? [])];
    const state = statuses.find((s) => s.name === container)?.state;
    if (state?.running !== undefined || state?.terminated !== undefined) return pod;
    if (systemClock.monotonicMs() > deadlineMs) {
      throw new CliError(
        `timed out waiting for the container ${container}: ${state?.waiting?.reason ?? "it has no status yet"}`,
      );
    }
    await systemClock.sleep(POLL_MS, context.signal);
  }
}
