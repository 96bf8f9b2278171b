/** `knarr api-resources`: what the server has. */
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { renderTable } from "../core/table.ts";
import { discover } from "../discovery.ts";
import type { CliContext, GlobalOptions, Verb } from "../verb.ts";

interface ApiResourcesOptions extends GlobalOptions {
  readonly output?: string;
  readonly headers: boolean;
  readonly namespaced?: string;
  readonly apiGroup?: string;
}

export const apiResources: Verb = {
  name: "api-resources",
  register(program, context) {
    program
      .command("api-resources")
      .description("Print the supported API resources on the server")
      .option("-o, --output <format>", "wide or name")
      .option("--no-headers", "leave out the headings")
      .option("--namespaced <bool>", "only namespaced (true) or cluster-scoped (false) resources")
      .option("--api-group <group>", "only this group")
      .action((_options: unknown, command: Command) =>
        runApiResources(command.optsWithGlobals<ApiResourcesOptions>(), context),
      );
  },
};

async function runApiResources(options: ApiResourcesOptions, context: CliContext): Promise<void> {
  const { client } = await connect(options, context);
  const { resources } = await discover(client, context.signal);
  // A resource of several versions is one: the version that the server prefers comes first.
  const shown = resources
    .filter((r, i) => resources.findIndex((o) => o.group === r.group && o.resource === r.resource) === i)
    .filter((r) => options.apiGroup === undefined || r.group === options.apiGroup)
    .filter((r) => options.namespaced === undefined || String(r.namespaced) === options.namespaced)
    .toSorted((a, b) => (a.group === b.group ? compare(a.resource, b.resource) : compare(a.group, b.group)));
  if (options.output === "name") {
    for (const r of shown) context.stdout.write(`${r.group === "" ? r.resource : `${r.resource}.${r.group}`}\n`);
    return;
  }
  const wide = options.output === "wide";
  const headings = ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND", ...(wide ? ["VERBS", "CATEGORIES"] : [])];
  const rows = shown.map((r) => [
    r.resource,
    r.shortNames.join(","),
    apiVersionOf(r),
    String(r.namespaced),
    r.kind,
    ...(wide ? [r.verbs.join(","), r.categories.join(",")] : []),
  ]);
  context.stdout.write(renderTable(rows, options.headers ? { headings } : {}));
}

const compare = (a: string, b: string) => (a < b ? -1 : Number(a > b));
