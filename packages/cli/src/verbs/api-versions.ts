/** `knarr api-versions`: the group versions that the server has. */
import type { Command } from "commander";
import { connect } from "../connect.ts";
import type { CliContext, GlobalOptions, Verb } from "../verb.ts";

export const apiVersions: Verb = {
  name: "api-versions",
  register(program, context) {
    program
      .command("api-versions")
      .description('Print the supported API versions on the server, in the form of "group/version"')
      .action((_options: unknown, self: Command) => run(self.optsWithGlobals<GlobalOptions>(), context));
  },
};

async function run(options: GlobalOptions, context: CliContext): Promise<void> {
  const { client } = await connect(options, context);
  const get = async (path: string) => {
    const { body } = await client.request({
      method: "GET",
      path,
      headers: { accept: "application/json" },
      signal: context.signal,
    });
    return JSON.parse(body.toString("utf8")) as unknown;
  };
  const [core, groups] = await Promise.all([get("/api"), get("/apis")]);
  const versions = [
    ...(core as { versions: string[] }).versions,
    ...(groups as { groups: { versions: { groupVersion: string }[] }[] }).groups.flatMap((g) =>
      g.versions.map((v) => v.groupVersion),
    ),
  ];
  for (const version of versions.sort()) context.stdout.write(`${version}\n`);
}
