/** Generators of Deployments, Jobs and CronJobs. */
import { collect } from "../flags.ts";
import { CliError } from "../verb.ts";
import { type Generator, listOf, nameOf, numberOf, objectOf, required, textOf } from "./generator.ts";

/** `registry/app:1` is a container called "app". */
export function containerName(image: string): string {
  const last = image.split("/").at(-1) ?? image;
  return (last.split(/[:@]/)[0] ?? last).replaceAll("_", "-").toLowerCase();
}

export const deployment: Generator = {
  name: "deployment",
  aliases: ["deploy"],
  description: "Create a deployment with the specified name",
  namespaced: true,
  failure: "failed to create deployment:",
  flags: (command) =>
    command
      .option("--image <images>", "image, can be repeated", collect)
      .option("--replicas <n>", "how many pods", "1")
      .option("--port <n>", "port that the container exposes"),
  build(words, flags, afterDashes) {
    const images = listOf(flags, "image");
    if (images.length === 0) throw new CliError('required flag(s) "image" not set');
    const name = nameOf(words);
    const command = afterDashes ?? [];
    if (images.length > 1 && command.length > 0) {
      throw new CliError("cannot specify multiple --image options and command");
    }
    const replicas = numberOf(flags, "replicas", "replicas") ?? 1;
    if (replicas < 0) throw new CliError("--replicas must be greater than or equal to 0");
    const port = numberOf(flags, "port", "port");
    const labels = { app: name };
    const containers = images.map((image) => ({
      image,
      name: containerName(image),
      resources: {},
      ...(command.length === 0 ? {} : { command }),
      ...(port === undefined ? {} : { ports: [{ containerPort: port }] }),
    }));
    const spec = {
      replicas,
      selector: { matchLabels: labels },
      strategy: {},
      template: { metadata: { labels }, spec: { containers } },
    };
    return objectOf("apps/v1", "Deployment", name, { spec, status: {} }, labels);
  },
};

function jobSpec(name: string, image: string, command: readonly string[], restartPolicy: string) {
  const container = { image, name, resources: {}, ...(command.length === 0 ? {} : { command }) };
  return { template: { metadata: {}, spec: { containers: [container], restartPolicy } } };
}

export const job: Generator = {
  name: "job",
  description: "Create a job with the specified name",
  namespaced: true,
  failure: "failed to create job:",
  flags: (command) =>
    command.option("--image <image>", "image to run").option("--from <cronjob/name>", "the CronJob to run once now"),
  build(words, flags, afterDashes) {
    const name = nameOf(words);
    const image = textOf(flags, "image");
    if (image === undefined) throw new CliError("either --image or --from must be specified");
    return objectOf("batch/v1", "Job", name, { spec: jobSpec(name, image, afterDashes ?? [], "Never"), status: {} });
  },
};

export const cronjob: Generator = {
  name: "cronjob",
  aliases: ["cj"],
  description: "Create a cron job with the specified name",
  namespaced: true,
  failure: "failed to create cronjob:",
  flags: (command) =>
    command
      .option("--image <image>", "image to run")
      .option("--schedule <cron>", "when, as cron writes it")
      .option("--restart <policy>", "OnFailure or Never"),
  build(words, flags, afterDashes) {
    const missing = ["image", "schedule"].filter((flag) => textOf(flags, flag) === undefined);
    if (missing.length > 0) throw new CliError(`required flag(s) ${missing.map((m) => `"${m}"`).join(", ")} not set`);
    const name = nameOf(words);
    const image = required(flags, "image");
    const restart = textOf(flags, "restart") ?? "OnFailure";
    const jobTemplate = { metadata: { name }, spec: jobSpec(name, image, afterDashes ?? [], restart) };
    const spec = { jobTemplate, schedule: required(flags, "schedule") };
    return objectOf("batch/v1", "CronJob", name, { spec, status: {} });
  },
};
