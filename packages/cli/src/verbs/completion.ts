/** `knarr completion bash|zsh|fish`: shell scripts that ask `knarr __complete` for names, live ones among them. */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { discover } from "../discovery.ts";
import { type CliContext, CliError, type GlobalOptions, type Verb } from "../verb.ts";

const SCRIPTS: Readonly<Record<string, string>> = {
  bash: `# bash completion for knarr: source <(knarr completion bash)
_knarr() {
  local IFS=$'\\n'
  COMPREPLY=($(knarr __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
  [[ \${#COMPREPLY[@]} -eq 1 && \${COMPREPLY[0]} == */ ]] && compopt -o nospace
  return 0
}
complete -o default -F _knarr knarr
`,
  zsh: `#compdef knarr
# zsh completion for knarr: source <(knarr completion zsh)
_knarr() {
  local -a found
  found=("\${(@f)$(knarr __complete "\${(@)words[2,$CURRENT]}" 2>/dev/null)}")
  [[ -n "\${found[1]}" ]] && compadd -a found
}
compdef _knarr knarr
`,
  fish: `# fish completion for knarr: knarr completion fish | source
function __knarr_complete
  set -l words (commandline -opc) (commandline -ct)
  knarr __complete $words[2..-1] 2>/dev/null
end
complete -c knarr -f -a '(__knarr_complete)'
`,
};

export const completion: Verb = {
  name: "completion",
  register(program, context) {
    program
      .command("completion")
      .description("Output shell completion code for the specified shell (bash, zsh, or fish)")
      .argument("[shell]", "bash, zsh or fish")
      .action((shell: string | undefined) => {
        if (shell === undefined)
          throw new CliError("Shell not specified.\nSee 'knarr completion -h' for help and examples");
        const script = SCRIPTS[shell];
        if (script === undefined)
          throw new CliError(`Unsupported shell type "${shell}".\nSee 'knarr completion -h' for help and examples`);
        context.stdout.write(script);
      });
  },
};

/** Verbs whose arguments are a type and then names of it. */
const TYPED = new Set("get describe delete edit label annotate patch scale expose autoscale wait".split(" "));
/** Verbs whose first argument is a pod. */
const OF_PODS = new Set("logs exec attach port-forward debug cp".split(" "));
const OF_NODES = new Set("cordon uncordon drain taint".split(" "));

/** Hidden: prints what may come at the place of the last word, a line each. */
export const complete: Verb = {
  name: "__complete",
  register(program, context) {
    program
      .command("__complete", { hidden: true })
      .argument("[words...]")
      .allowUnknownOption()
      .helpOption(false)
      .action(async (_words: string[], _options: unknown, self: Command) => {
        const names = (context.verbNames ?? []).filter((name) => !name.startsWith("_"));
        const found = await candidates(self.args, names, self, context);
        const last = self.args.at(-1) ?? "";
        for (const name of found.filter((n) => n.startsWith(last)).sort()) context.stdout.write(`${name}\n`);
      });
  },
};

async function candidates(
  words: readonly string[],
  verbs: readonly string[],
  command: Command,
  context: CliContext,
): Promise<string[]> {
  const done = words.slice(0, -1);
  const previous = done.at(-1) ?? "";
  const plain = done.filter(
    (word, i) =>
      !word.startsWith("-") && !["-n", "--namespace", "-o", "--context", "-f", "-l", "-c"].includes(done[i - 1] ?? ""),
  );
  const options = optionsIn(done, command);
  if (previous === "-n" || previous === "--namespace") return namesOf("namespaces", options, context);
  if (previous === "-o" || previous === "--output")
    return ["json", "yaml", "wide", "name", "jsonpath=", "custom-columns=", "go-template="];
  const [verb, type, ...named] = plain;
  if (verb === undefined) return [...verbs];
  if (OF_PODS.has(verb) && type === undefined) return namesOf("pods", options, context);
  if (OF_NODES.has(verb)) return namesOf("nodes", options, context);
  if (!TYPED.has(verb)) return [];
  if (type !== undefined) return (await namesOf(type, options, context)).filter((name) => !named.includes(name));
  const last = words.at(-1) ?? "";
  const slash = last.indexOf("/");
  if (slash > 0) {
    const kind = last.slice(0, slash);
    return (await namesOf(kind, options, context)).map((name) => `${kind}/${name}`);
  }
  const { client } = await connect(options, context);
  const { resources } = await discover(client, context.signal);
  return [...new Set(resources.filter((r) => r.verbs.includes("list")).map((r) => r.resource))];
}

function optionsIn(words: readonly string[], command: Command): GlobalOptions {
  const after = (...flags: string[]) => {
    const at = words.findLastIndex((word) => flags.includes(word));
    return at < 0 ? undefined : words[at + 1];
  };
  const [namespace, kubeconfig, name] = [after("-n", "--namespace"), after("--kubeconfig"), after("--context")];
  return {
    ...command.optsWithGlobals<GlobalOptions>(),
    ...(namespace === undefined ? {} : { namespace }),
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
    ...(name === undefined ? {} : { context: name }),
  };
}

async function namesOf(type: string, options: GlobalOptions, context: CliContext): Promise<string[]> {
  const { client, namespace } = await connect(options, context);
  const resource = (await discover(client, context.signal)).resolve(type);
  const { items } = await client.list(resource, {
    namespace: resource.namespaced ? namespace : "",
    metadataOnly: true,
    signal: context.signal,
  });
  return (items as KubeObject[]).map((item) => item.metadata.name ?? "");
}
