/** `knarr cluster-info`: where the control plane and the cluster's services answer. */
import { core } from "@knarr/api/generated/resources.ts";
import type { Command } from "commander";
import { registerDump } from "../cluster-dump.ts";
import { connect } from "../connect.ts";
import type { CliContext, GlobalOptions, Verb } from "../verb.ts";

export const clusterInfo: Verb = {
  name: "cluster-info",
  register(program, context) {
    const parent = program.command("cluster-info").description("Display cluster information");
    registerDump(parent, context);
    parent.action((_options: unknown, command: Command) =>
      runClusterInfo(command.optsWithGlobals<GlobalOptions>(), context),
    );
  },
};

async function runClusterInfo(options: GlobalOptions, context: CliContext): Promise<void> {
  const { client } = await connect(options, context);
  const { server } = client.config;
  const services = await client.list(core.services, {
    namespace: "kube-system",
    labelSelector: "kubernetes.io/cluster-service=true",
    signal: context.signal,
  });
  context.stdout.write(`Kubernetes control plane is running at ${server}\n`);
  for (const service of services.items) {
    const { name } = service.metadata;
    const [port] = service.spec?.ports ?? [];
    const shown = service.metadata.labels?.["kubernetes.io/name"] ?? name;
    const portName = port?.name === undefined ? "" : `:${port.name}`;
    context.stdout.write(
      `${shown} is running at ${server}/api/v1/namespaces/kube-system/services/${name}${portName}/proxy\n`,
    );
  }
  context.stdout.write("\nTo further debug and diagnose cluster problems, use 'knarr cluster-info dump'.\n");
}
