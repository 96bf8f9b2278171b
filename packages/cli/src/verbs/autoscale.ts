/** `knarr autoscale`: a HorizontalPodAutoscaler for a workload. */
import { autoscaling } from "@knarr/api/generated/resources.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { findObjects, forEachFound } from "../find-objects.ts";
import { addFileFlags, integer, type SelectOptions } from "../flags.ts";
import { addDryRunFlag, addPrintFlags, type PrintOptions, parseDryRun, ResultPrinter } from "../print.ts";
import { type CliContext, CliError, type GlobalOptions, type Verb } from "../verb.ts";

interface AutoscaleOptions extends GlobalOptions, SelectOptions, PrintOptions {
  readonly min?: string;
  readonly max?: string;
  readonly cpuPercent?: string;
  readonly cpu?: string;
  readonly memory?: string;
  readonly name?: string;
  readonly dryRun?: string;
}

export const autoscale: Verb = {
  name: "autoscale",
  register(program, context) {
    const command = program
      .command("autoscale")
      .description("Auto-scale a deployment, replica set, stateful set, or replication controller")
      .argument("[type|type/name...]", "what to scale")
      .option("--min <n>", "the fewest pods", integer, "-1")
      .option("--max <n>", "the most pods", integer)
      .option(
        "--cpu-percent <n>",
        "mean CPU use to keep, in percent of what the pods request (deprecated: --cpu)",
        integer,
        "-1",
      )
      .option("--cpu <n%|quantity>", "mean CPU use to keep")
      .option("--memory <n%|quantity>", "mean memory use to keep")
      .option("--name <name>", "name of the autoscaler; the object's own when absent")
      .option("--field-manager <name>", "who owns the fields", "kubectl-autoscale");
    addPrintFlags(addDryRunFlag(addFileFlags(command))).action((words: string[], _options: unknown, self: Command) =>
      runAutoscale(words, self.optsWithGlobals<AutoscaleOptions>(), context),
    );
  },
};

function metricOf(name: string, text: string): object {
  const percent = /^(\d+)%$/.exec(text)?.[1];
  const target =
    percent === undefined
      ? { averageValue: text, type: "AverageValue" }
      : { averageUtilization: Number(percent), type: "Utilization" };
  return { resource: { name, target }, type: "Resource" };
}

async function runAutoscale(words: string[], options: AutoscaleOptions, context: CliContext): Promise<void> {
  if (options.max === undefined) throw new CliError('required flag(s) "max" not set');
  const [min, max] = [Number(options.min), Number(options.max)];
  if (max < 1) throw new CliError(`--max=MAXPODS is required and must be at least 1, max: ${max}`);
  if (max < min) throw new CliError(`--max=MAXPODS must be larger or equal to --min=MINPODS, max: ${max}, min: ${min}`);
  const cpu = options.cpu ?? (Number(options.cpuPercent) >= 0 ? `${options.cpuPercent}%` : undefined);
  const metrics = [
    ...(cpu === undefined ? [] : [metricOf("cpu", cpu)]),
    ...(options.memory === undefined ? [] : [metricOf("memory", options.memory)]),
  ];
  const dryRun = parseDryRun(options.dryRun);
  const printer = new ResultPrinter(options, context);
  const connection = await connect(options, context);
  const found = await findObjects(words, options, connection, context);
  await forEachFound(found, context, async ({ resource, key }) => {
    if (!resource.subresources.includes("scale")) {
      throw new CliError(`cannot autoscale a ${resource.kind}: ${resource.resource} has no scale subresource`);
    }
    const spec = {
      maxReplicas: max,
      ...(metrics.length === 0 ? {} : { metrics }),
      ...(min > 0 ? { minReplicas: min } : {}),
      scaleTargetRef: { apiVersion: apiVersionOf(resource), kind: resource.kind, name: key.name },
    };
    const object = {
      apiVersion: "autoscaling/v2",
      kind: "HorizontalPodAutoscaler",
      metadata: { name: options.name ?? key.name },
      spec,
      status: { currentMetrics: null, desiredReplicas: 0 },
    };
    if (dryRun === "client") {
      printer.print(object as KubeObject, "autoscaled");
      return;
    }
    const placed = { ...object, status: undefined, metadata: { ...object.metadata, namespace: key.namespace } };
    const settings = { dryRun: dryRun === "server", fieldManager: "kubectl-autoscale", signal: context.signal };
    const made = await connection.client.create(autoscaling.horizontalpodautoscalers, placed as never, settings);
    printer.print(
      { ...made, apiVersion: "autoscaling/v2", kind: "HorizontalPodAutoscaler" } as KubeObject,
      "autoscaled",
    );
  });
}
