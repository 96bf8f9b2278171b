/** `knarr version`: the client's and the server's. */
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { renderJson, renderYaml } from "../core/output.ts";
import type { CliContext, GlobalOptions, Verb } from "../verb.ts";

const CLIENT_VERSION = { major: "1", minor: "36", gitVersion: "v1.36.0+knarr" };

export const version: Verb = {
  name: "version",
  register(program, context) {
    program
      .command("version")
      .description("Print the client and server version information")
      .option("--client", "only the client's; asks no server")
      .option("-o, --output <format>", "yaml or json")
      .action((_options: unknown, command: Command) =>
        runVersion(command.optsWithGlobals<GlobalOptions & { client?: boolean; output?: string }>(), context),
      );
  },
};

async function runVersion(
  options: GlobalOptions & { client?: boolean; output?: string },
  context: CliContext,
): Promise<void> {
  const serverVersion = options.client === true ? undefined : await serverVersionOf(options, context);
  const all = { clientVersion: CLIENT_VERSION, ...(serverVersion === undefined ? {} : { serverVersion }) };
  if (options.output === "json") context.stdout.write(renderJson(all));
  else if (options.output === "yaml") context.stdout.write(renderYaml(all));
  else {
    context.stdout.write(`Client Version: ${CLIENT_VERSION.gitVersion}\n`);
    if (serverVersion !== undefined) context.stdout.write(`Server Version: ${serverVersion.gitVersion}\n`);
  }
}

async function serverVersionOf(options: GlobalOptions, context: CliContext): Promise<{ gitVersion: string }> {
  const { client } = await connect(options, context);
  const { body } = await client.request({ method: "GET", path: "/version", signal: context.signal });
  return JSON.parse(body.toString("utf8")) as { gitVersion: string };
}
