/**
 * `knarr why pod NAME`: the scheduler's last decision about a pod: which plugin refused which node, what the others scored.
 *
 * The leading scheduler tells in its Lease where it listens and which certificate it has; it is asked there, with the
 * credentials of the kubeconfig, and only if it shows that certificate. So it works from wherever that address is in reach.
 */
import { coordination } from "@knarr/api/generated/resources.ts";
import { humanDuration } from "@knarr/api/human-duration.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { renderJson, renderYaml } from "../core/output.ts";
import { type PodDecision, renderDecision } from "../core/render-decision.ts";
import { pinnedGet } from "../pinned-get.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions, type Verb } from "../verb.ts";

const ADDRESS = "knarr.dev/secure-address";
const CERTIFICATE = "knarr.dev/secure-certificate-sha256";
const PATH = "/debug/knarr/decisions";

interface WhyOptions extends GlobalOptions {
  readonly output?: string;
  readonly lease: string;
}

export const why: Verb = {
  name: "why",
  register(program, context) {
    program
      .command("why")
      .description("Show why a pod is on its node, or on none: the scheduler's last decision about it")
      .argument("<kind>", "pod, or pod/NAME")
      .argument("[name]", "name of the pod")
      .option("-o, --output <format>", "one of: json, yaml")
      .option("--lease <namespace/name>", "Lease of the scheduler to ask", "kube-system/kube-scheduler")
      .action((kind: string, name: string | undefined, _options: unknown, command: Command) =>
        runWhy(podName(kind, name), command.optsWithGlobals<WhyOptions>(), context),
      );
  },
};

function podName(kind: string, name: string | undefined): string {
  const [type = "", inline] = kind.split("/", 2);
  const found = inline ?? name ?? "";
  if (!["pod", "pods", "po"].includes(type)) throw new CliError(`only pods are scheduled, not ${JSON.stringify(type)}`);
  if (found === "") throw new CliError("the name of a pod is missing: knarr why pod NAME");
  return found;
}

async function runWhy(name: string, options: WhyOptions, context: CliContext): Promise<void> {
  const { output } = options;
  if (output !== undefined && output !== "json" && output !== "yaml") {
    throw new CliError(
      `unable to match a printer suitable for the output format "${output}", allowed formats are: json,yaml`,
    );
  }
  const connection = await connect(options, context);
  const { address, sha256 } = await findScheduler(connection, options.lease, context.signal);
  const query = new URLSearchParams({ namespace: connection.namespace, pod: name });
  const answer = await pinnedGet(connection.client.config, {
    url: `https://${address}${PATH}?${query}`,
    sha256,
    signal: context.signal,
  });
  if (answer.status === 401 || answer.status === 403) {
    throw new CliError(`the scheduler at ${address} refuses: get on the non-resource URL ${PATH} is needed`);
  }
  if (answer.status === 404) {
    throw new CliError(
      `the scheduler knows no decision about pod ${connection.namespace}/${name}: there is no such pod, it asks for ` +
        "another scheduler, it was bound before this scheduler started, or it has not been looked at yet",
    );
  }
  if (answer.status !== 200)
    throw new CliError(`the scheduler at ${address} answered ${answer.status}: ${answer.body}`);
  const decision = JSON.parse(answer.body) as PodDecision;
  if (output === undefined) context.stdout.write(renderDecision(decision, Date.now(), humanDuration));
  else context.stdout.write(output === "yaml" ? renderYaml(decision) : renderJson(decision));
}

async function findScheduler(
  { client }: Connection,
  lease: string,
  signal: AbortSignal,
): Promise<{ address: string; sha256: string }> {
  const [namespace = "", name = ""] = lease.split("/", 2);
  const { metadata, spec } = await client.get(coordination.leases, { namespace, name }, { signal }).catch((error) => {
    if (isNotFound(error)) throw new CliError(`no scheduler leads: there is no Lease ${lease}`);
    throw error;
  });
  const address = metadata.annotations?.[ADDRESS];
  const sha256 = metadata.annotations?.[CERTIFICATE];
  if ((spec?.holderIdentity ?? "") === "") throw new CliError(`no scheduler leads: nobody holds the Lease ${lease}`);
  if (address === undefined || sha256 === undefined) {
    throw new CliError(`the leading scheduler is not one of Knarr: the Lease ${lease} has no annotation ${ADDRESS}`);
  }
  return { address, sha256 };
}
