/** `knarr kustomize`: prints the objects of a kustomization. */
import type { Command } from "commander";
import { renderYaml } from "../core/output.ts";
import { buildKustomization } from "../kustomize/build.ts";
import type { CliContext, Verb } from "../verb.ts";

export const kustomize: Verb = {
  name: "kustomize",
  register(program, context) {
    program
      .command("kustomize")
      .description("Build a kustomization target from a directory or URL")
      .argument("[folder]", "folder with a kustomization.yaml", ".")
      .action((folder: string, _options: unknown, _self: Command) => run(folder, context));
  },
};

async function run(folder: string, context: CliContext): Promise<void> {
  const manifests = await buildKustomization(folder);
  context.stdout.write(manifests.map(({ object }) => renderYaml(object)).join("---\n"));
}
