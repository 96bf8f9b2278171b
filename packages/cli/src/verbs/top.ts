/** `knarr top node|pod`: use of CPU and memory, from metrics.k8s.io. */
import { core } from "@knarr/api/generated/resources.ts";
import type { Node } from "@knarr/api/generated/types/core-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { cpuMillis, quantityValue } from "@knarr/apimachinery/quantity.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { renderTable } from "../core/table.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions, type Verb } from "../verb.ts";

interface TopOptions extends GlobalOptions {
  readonly selector?: string;
  readonly fieldSelector?: string;
  readonly allNamespaces?: boolean;
  readonly containers?: boolean;
  readonly sortBy?: string;
  readonly headers: boolean;
  readonly sum?: boolean;
  readonly showCapacity?: boolean;
}
interface Usage {
  readonly cpu: string;
  readonly memory: string;
}
interface NodeMetrics extends KubeObject {
  readonly usage: Usage;
}
interface PodMetrics extends KubeObject {
  readonly containers: readonly { readonly name: string; readonly usage: Usage }[];
}

const nodeMetrics: ResourceRef<NodeMetrics> = {
  group: "metrics.k8s.io",
  version: "v1beta1",
  resource: "nodes",
  kind: "NodeMetrics",
  namespaced: false,
};
const podMetrics: ResourceRef<PodMetrics> = {
  group: "metrics.k8s.io",
  version: "v1beta1",
  resource: "pods",
  kind: "PodMetrics",
  namespaced: true,
};

export const top: Verb = {
  name: "top",
  register(program, context) {
    const parent = program.command("top").description("Display resource (CPU/memory) usage");
    const common = (command: Command) =>
      command
        .option("-l, --selector <query>", "label selector")
        .option("--sort-by <what>", "cpu or memory")
        .option("--no-headers", "leave out the headings");
    common(
      parent
        .command("node")
        .aliases(["nodes", "no"])
        .description("Display resource (CPU/memory) usage of nodes")
        .argument("[name]"),
    )
      .option("--show-capacity", "percentages of the capacity instead of what is allocatable")
      .action((name: string | undefined, _o: unknown, self: Command) =>
        topNodes(name, self.optsWithGlobals<TopOptions>(), context),
      );
    common(
      parent
        .command("pod")
        .aliases(["pods", "po"])
        .description("Display resource (CPU/memory) usage of pods")
        .argument("[name]"),
    )
      .option("-A, --all-namespaces", "across all namespaces")
      .option("--containers", "each container by itself")
      .option("--field-selector <query>", "field selector")
      .option("--sum", "the sum below")
      .action((name: string | undefined, _o: unknown, self: Command) =>
        topPods(name, self.optsWithGlobals<TopOptions>(), context),
      );
  },
};

async function read<T extends KubeObject>(
  ref: ResourceRef<T>,
  name: string | undefined,
  namespace: string,
  options: TopOptions,
  { client }: Connection,
  signal: AbortSignal,
): Promise<readonly T[]> {
  try {
    if (name !== undefined) return [await client.get(ref, { namespace, name }, { signal })];
    const { selector: labelSelector, fieldSelector } = options;
    return (await client.list(ref, { namespace, labelSelector, fieldSelector, signal })).items;
  } catch (error) {
    if (isNotFound(error) && name === undefined) throw new CliError("Metrics API not available");
    throw error;
  }
}

const cpuText = (millis: number) => `${millis}m`;
const memoryText = (bytes: number) => `${Math.floor(bytes / 1024 / 1024)}Mi`;

interface Row {
  readonly names: readonly string[];
  readonly cpu: number;
  readonly memory: number;
  readonly more?: readonly string[];
}

function sorted(rows: readonly Row[], by: string | undefined): readonly Row[] {
  if (by !== undefined && by !== "cpu" && by !== "memory") {
    throw new CliError("--sort-by accepts only cpu or memory");
  }
  const name = (row: Row) => row.names.join("/");
  return rows.toSorted((a, b) => (by === undefined ? (name(a) < name(b) ? -1 : 1) : b[by] - a[by]));
}

async function topNodes(name: string | undefined, options: TopOptions, context: CliContext): Promise<void> {
  const connection = await connect(options, context);
  const metrics = await read(nodeMetrics, name, "", options, connection, context.signal);
  if (metrics.length === 0) throw new CliError("metrics not available yet");
  const { items } = await connection.client.list(core.nodes, {
    labelSelector: options.selector,
    signal: context.signal,
  });
  const whole = (node: Node | undefined) =>
    (options.showCapacity === true ? node?.status?.capacity : node?.status?.allocatable) ?? {};
  const percent = (used: number, of: number) => (of === 0 ? "<unknown>" : `${Math.floor((used / of) * 100)}%`);
  const rows = metrics.map((entry): Row & { percents: string[] } => {
    const node = items.find((n) => n.metadata.name === entry.metadata.name);
    const [cpu, memory] = [cpuMillis(entry.usage.cpu), quantityValue(entry.usage.memory)];
    const of = whole(node) as Readonly<Record<string, string>>;
    return {
      names: [entry.metadata.name ?? ""],
      cpu,
      memory,
      percents: [percent(cpu, cpuMillis(of.cpu ?? "0")), percent(memory, quantityValue(of.memory ?? "0"))],
    };
  });
  const table = (sorted(rows, options.sortBy) as readonly (Row & { percents: string[] })[]).map((row) => [
    ...row.names,
    cpuText(row.cpu),
    row.percents[0] ?? "",
    memoryText(row.memory),
    row.percents[1] ?? "",
  ]);
  // Nodes without metrics are named too, as kubectl does.
  for (const node of name === undefined ? items : []) {
    if (metrics.some((m) => m.metadata.name === node.metadata.name)) continue;
    table.push([node.metadata.name ?? "", "<unknown>", "<unknown>", "<unknown>", "<unknown>"]);
  }
  const headings = ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"];
  context.stdout.write(renderTable(table, options.headers ? { headings } : {}));
}

async function topPods(name: string | undefined, options: TopOptions, context: CliContext): Promise<void> {
  const connection = await connect(options, context);
  const everywhere = options.allNamespaces === true;
  const namespace = everywhere ? "" : connection.namespace;
  const metrics = await read(podMetrics, name, namespace, options, connection, context.signal);
  if (metrics.length === 0) {
    context.stderr.write(everywhere ? "No resources found\n" : `No resources found in ${namespace} namespace.\n`);
    return;
  }
  const prefix = (pod: PodMetrics) => (everywhere ? [pod.metadata.namespace ?? ""] : []);
  const rows = metrics.flatMap((pod): Row[] => {
    const used = pod.containers.map(({ name: container, usage }) => ({
      container,
      cpu: cpuMillis(usage.cpu),
      memory: quantityValue(usage.memory),
    }));
    const podName = pod.metadata.name ?? "";
    if (options.containers === true) {
      return used.map(({ container, cpu, memory }) => ({ names: [...prefix(pod), podName, container], cpu, memory }));
    }
    const sum = (part: "cpu" | "memory") => used.reduce((total, one) => total + one[part], 0);
    return [{ names: [...prefix(pod), podName], cpu: sum("cpu"), memory: sum("memory") }];
  });
  const table = sorted(rows, options.sortBy).map((row) => [...row.names, cpuText(row.cpu), memoryText(row.memory)]);
  const headings = [
    ...(everywhere ? ["NAMESPACE"] : []),
    ...(options.containers === true ? ["POD"] : []),
    "NAME",
    "CPU(cores)",
    "MEMORY(bytes)",
  ];
  if (options.sum === true) {
    const total = (part: "cpu" | "memory") => rows.reduce((sum, row) => sum + row[part], 0);
    const blank = headings.slice(0, -2).map(() => "");
    table.push([...blank, "________", "________"], [...blank, cpuText(total("cpu")), memoryText(total("memory"))]);
  }
  context.stdout.write(renderTable(table, options.headers ? { headings } : {}));
}
