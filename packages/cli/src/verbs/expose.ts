/** `knarr expose`: a Service for a workload, a pod or another Service. */
import { core } from "@knarr/api/generated/resources.ts";
import type { Pod, Service } from "@knarr/api/generated/types/core-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { findObjects, forEachFound } from "../find-objects.ts";
import { addFileFlags, type SelectOptions } from "../flags.ts";
import { addDryRunFlag, addPrintFlags, type PrintOptions, parseDryRun, ResultPrinter } from "../print.ts";
import { type CliContext, CliError, type GlobalOptions, type Verb } from "../verb.ts";

interface ExposeOptions extends GlobalOptions, SelectOptions, PrintOptions {
  readonly name?: string;
  readonly port?: string;
  readonly targetPort?: string;
  readonly protocol?: string;
  readonly type?: string;
  readonly labels?: string;
  readonly selector?: string;
  readonly externalIp?: string;
  readonly loadBalancerIp?: string;
  readonly clusterIp?: string;
  readonly sessionAffinity?: string;
  readonly dryRun?: string;
}

export const expose: Verb = {
  name: "expose",
  register(program, context) {
    const command = program
      .command("expose")
      .description(
        "Take a replication controller, service, deployment or pod and expose it as a new Kubernetes service",
      )
      .argument("[type|type/name...]", "what to expose")
      .option("--name <name>", "name of the Service; the object's own when absent")
      .option("--port <n>", "port of the Service; the container's when absent")
      .option("--target-port <n|name>", "port of the container")
      .option("--protocol <name>", "TCP, UDP or SCTP")
      .option("--type <type>", "ClusterIP, NodePort, LoadBalancer or ExternalName")
      .option("-l, --labels <labels>", "labels of the Service")
      .option("--selector <labels>", "which pods; the object's own selector when absent")
      .option("--external-ip <address>", "an address that leads to the Service from outside")
      .option("--load-balancer-ip <address>", "the address that the balancer shall have")
      .option("--cluster-ip <address>", "the address, or None for a headless Service")
      .option("--session-affinity <mode>", "None or ClientIP")
      .option("--field-manager <name>", "who owns the fields", "kubectl-expose");
    addPrintFlags(addDryRunFlag(addFileFlags(command))).action((words: string[], _options: unknown, self: Command) =>
      runExpose(words, self.optsWithGlobals<ExposeOptions>(), context),
    );
  },
};

const EXPOSABLE = ["services", "pods", "replicationcontrollers", "deployments", "replicasets"];

async function runExpose(words: string[], options: ExposeOptions, context: CliContext): Promise<void> {
  const dryRun = parseDryRun(options.dryRun);
  const printer = new ResultPrinter(options, context);
  const connection = await connect(options, context);
  const { selector: _own, ...files } = options;
  const found = await findObjects(words, files, connection, context);
  await forEachFound(found, context, async ({ resource, key, object }) => {
    if (!EXPOSABLE.includes(resource.resource)) {
      throw new CliError(
        `cannot expose a ${resource.kind}.${resource.group === "" ? "" : resource.group}`.replace(/\.$/, ""),
      );
    }
    const service = serviceFor(object, options, key.name);
    const placed = { ...service, metadata: { ...service.metadata, namespace: key.namespace } };
    if (dryRun === "client") {
      printer.print(options.namespace === undefined ? service : placed, "exposed");
      return;
    }
    const settings = { dryRun: dryRun === "server", fieldManager: "kubectl-expose", signal: context.signal };
    const made = await connection.client.create(core.services, placed, settings);
    printer.print({ ...made, apiVersion: "v1", kind: "Service" }, "exposed");
  });
}

function serviceFor(object: KubeObject, options: ExposeOptions, name: string): Service {
  const labels = options.labels === undefined ? object.metadata.labels : pairsOf(options.labels);
  const selector = options.selector === undefined ? selectorOf(object) : pairsOf(options.selector);
  const found = portsOf(object);
  if (options.port === undefined && found.length === 0 && options.clusterIp !== "None") {
    throw new CliError("couldn't find port via --port flag or introspection");
  }
  const target = options.targetPort;
  const wanted =
    options.port === undefined
      ? found
      : options.port.split(",").map((port) => ({ port: Number(port), protocol: protocolOf(found, Number(port)) }));
  const ports = wanted.map(({ port, protocol }, i) => ({
    ...(wanted.length > 1 ? { name: `port-${i + 1}` } : {}),
    port,
    protocol: options.protocol ?? protocol,
    targetPort: target === undefined ? port : /^\d+$/.test(target) ? Number(target) : target,
  }));
  const { type, externalIp, loadBalancerIp, clusterIp, sessionAffinity } = options;
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { ...(labels === undefined ? {} : { labels }), name: options.name ?? name },
    spec: {
      ...(clusterIp === undefined ? {} : { clusterIP: clusterIp }),
      ...(externalIp === undefined ? {} : { externalIPs: [externalIp] }),
      ...(loadBalancerIp === undefined ? {} : { loadBalancerIP: loadBalancerIp }),
      ...(ports.length === 0 ? {} : { ports }),
      selector,
      ...(sessionAffinity === undefined ? {} : { sessionAffinity }),
      ...(type === undefined ? {} : { type }),
    },
    status: { loadBalancer: {} },
  };
}

export function pairsOf(text: string): Record<string, string> {
  return Object.fromEntries(
    text.split(",").map((pair) => {
      const equals = pair.indexOf("=");
      if (equals < 0) throw new CliError(`unexpected label spec: ${pair}`);
      return [pair.slice(0, equals), pair.slice(equals + 1)];
    }),
  );
}

function selectorOf(object: KubeObject): Record<string, string> {
  const { selector } = (object as { spec?: { selector?: unknown } }).spec ?? {};
  const { kind } = object as { kind?: string };
  if (kind === "Pod") {
    const { labels } = object.metadata;
    if (labels === undefined || Object.keys(labels).length === 0) {
      throw new CliError(
        "couldn't retrieve selectors via --selector flag or introspection: the pod has no labels and cannot be exposed",
      );
    }
    return labels;
  }
  if (kind === "Service" || kind === "ReplicationController") {
    const plain = selector as Record<string, string> | undefined;
    if (plain === undefined || Object.keys(plain).length === 0) {
      throw new CliError(
        `couldn't retrieve selectors via --selector flag or introspection: the ${kind === "Service" ? "service has no pod selector set" : "replication controller has no selector"}`,
      );
    }
    return plain;
  }
  const { matchLabels = {}, matchExpressions = [] } = (selector ?? {}) as {
    matchLabels?: Record<string, string>;
    matchExpressions?: unknown[];
  };
  if (matchExpressions.length > 0) {
    throw new CliError(
      "couldn't retrieve selectors via --selector flag or introspection: couldn't convert expressions - \"matchExpressions\" to map-based selector format",
    );
  }
  return matchLabels;
}

interface Port {
  readonly port: number;
  readonly protocol: string;
}

function portsOf(object: KubeObject): Port[] {
  const { spec } = object as { spec?: { ports?: Port[]; template?: { spec?: Pod["spec"] } } & Pod["spec"] };
  if (spec?.ports !== undefined) return spec.ports.map(({ port, protocol }) => ({ port, protocol }));
  const containers = spec?.template?.spec?.containers ?? spec?.containers ?? [];
  return containers.flatMap((c) =>
    (c.ports ?? []).map((p) => ({ port: p.containerPort ?? 0, protocol: p.protocol ?? "TCP" })),
  );
}

const protocolOf = (found: readonly Port[], port: number) => found.find((p) => p.port === port)?.protocol ?? "TCP";
