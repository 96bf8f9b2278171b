/** `knarr config`: shows and changes kubeconfig files, as `kubectl config` does. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import type { Command } from "commander";
import { parse as parseYaml } from "yaml";
import { renderYaml } from "../core/output.ts";
import { renderTable } from "../core/table.ts";
import { addPrintFlags, type PrintOptions, printerOf } from "../print.ts";
import { type CliContext, CliError, type GlobalOptions, type Verb } from "../verb.ts";

interface Entry {
  name: string;
  [part: string]: unknown;
}
interface File {
  apiVersion?: string;
  kind?: string;
  preferences?: object;
  clusters?: Entry[];
  contexts?: Entry[];
  users?: Entry[];
  "current-context"?: string;
  [other: string]: unknown;
}
type Section = "clusters" | "contexts" | "users";
const PART: Readonly<Record<Section, string>> = { clusters: "cluster", contexts: "context", users: "user" };

/** The files that are read, in order; the first that has an entry wins, and new entries go into the first. */
function pathsOf(options: GlobalOptions, context: CliContext): string[] {
  if (options.kubeconfig !== undefined) return [options.kubeconfig];
  const list = (context.env.KUBECONFIG ?? "").split(delimiter).filter((path) => path !== "");
  return list.length > 0 ? list : [join(context.env.HOME ?? homedir(), ".kube", "config")];
}

function readFile(path: string): File | undefined {
  try {
    return (parseYaml(readFileSync(path, "utf8")) as File | null) ?? {};
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new CliError(`kubeconfig ${path} can't be read: ${(error as Error).message}`);
  }
}

/** Written beside and moved into place, so that no reader sees half a file; only the owner may read it. */
function writeFile(path: string, file: File): void {
  mkdirSync(dirname(path), { recursive: true });
  const next = `${path}.${process.pid}.new`;
  writeFileSync(next, renderYaml({ apiVersion: "v1", kind: "Config", ...file }), { mode: 0o600 });
  renameSync(next, path);
}

function merged(options: GlobalOptions, context: CliContext): File {
  const all: File = { apiVersion: "v1", kind: "Config", clusters: [], contexts: [], users: [], "current-context": "" };
  for (const path of pathsOf(options, context)) {
    const file = readFile(path);
    if (file === undefined) continue;
    if (all["current-context"] === "") all["current-context"] = file["current-context"] ?? "";
    for (const section of ["clusters", "contexts", "users"] as const) {
      const known = all[section] ?? [];
      for (const entry of file[section] ?? []) if (!known.some((k) => k.name === entry.name)) known.push(entry);
      all[section] = known;
    }
  }
  for (const section of ["clusters", "contexts", "users"] as const) {
    all[section] = (all[section] ?? []).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }
  return all;
}

/** Changes the file that has the entry, or the first one. */
function change(
  options: GlobalOptions,
  context: CliContext,
  holds: (file: File) => boolean,
  apply: (file: File) => void,
): string {
  const paths = pathsOf(options, context);
  const path = paths.find((p) => holds(readFile(p) ?? {})) ?? (paths[0] as string);
  const file = readFile(path) ?? {};
  apply(file);
  writeFile(path, file);
  return path;
}

const has = (section: Section, name: string) => (file: File) =>
  file[section]?.some((entry) => entry.name === name) === true;

function setEntry(file: File, section: Section, name: string, values: Record<string, unknown>): void {
  const entries = file[section] ?? [];
  file[section] = entries;
  let entry = entries.find((e) => e.name === name);
  if (entry === undefined) {
    entry = { name, [PART[section]]: {} };
    entries.push(entry);
  }
  const part = { ...(entry[PART[section]] as object | undefined), ...values } as Record<string, unknown>;
  for (const [key, value] of Object.entries(part)) if (value === undefined || value === "") delete part[key];
  entry[PART[section]] = part;
}

export const config: Verb = {
  name: "config",
  register(program, context) {
    const parent = program.command("config").description("Modify kubeconfig files");
    registerViews(parent, context);
    registerSetters(parent, context);
    registerRemovals(parent, context);
  },
};

interface ViewOptions extends GlobalOptions, PrintOptions {
  readonly raw?: boolean;
  readonly minify?: boolean;
  readonly flatten?: boolean;
}

function registerViews(parent: Command, context: CliContext): void {
  addPrintFlags(
    parent
      .command("view")
      .description("Display merged kubeconfig settings or a specified kubeconfig file")
      .option("--raw", "with certificates, keys and tokens")
      .option("--minify", "only what the current context uses")
      .option("--flatten", "with the contents of the files that it names"),
  ).action((_options: unknown, self: Command) => {
    const options = self.optsWithGlobals<ViewOptions>();
    const printer = printerOf(options);
    const file = options.minify === true ? minified(merged(options, context), options) : merged(options, context);
    const flat = options.flatten === true ? flattened(file) : file;
    const shown = options.raw === true || options.flatten === true ? flat : redacted(flat);
    context.stdout.write(printer === undefined ? renderYaml(shown) : printer.render(shown));
  });
  parent
    .command("current-context")
    .description("Display the current-context")
    .action((_options: unknown, self: Command) => {
      const name = merged(self.optsWithGlobals<GlobalOptions>(), context)["current-context"] ?? "";
      if (name === "") throw new CliError("current-context is not set");
      context.stdout.write(`${name}\n`);
    });
  parent
    .command("get-contexts")
    .description("Describe one or many contexts")
    .argument("[name...]", "only these")
    .option("-o, --output <format>", "name")
    .option("--no-headers", "leave out the headings")
    .action((names: string[], _options: unknown, self: Command) => {
      const options = self.optsWithGlobals<GlobalOptions & { output?: string; headers: boolean }>();
      const file = merged(options, context);
      const missing = names.find((name) => !has("contexts", name)(file));
      if (missing !== undefined) throw new CliError(`context ${missing} not found`);
      const shown = (file.contexts ?? []).filter((c) => names.length === 0 || names.includes(c.name));
      if (options.output === "name") {
        for (const { name } of shown) context.stdout.write(`${name}\n`);
        return;
      }
      const rows = shown.map((entry) => {
        const { cluster = "", user = "", namespace = "" } = (entry.context ?? {}) as Record<string, string>;
        return [entry.name === file["current-context"] ? "*" : "", entry.name, cluster, user, namespace];
      });
      const headings = ["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"];
      context.stdout.write(renderTable(rows, options.headers ? { headings } : {}));
    });
  for (const [name, section] of [
    ["get-clusters", "clusters"],
    ["get-users", "users"],
  ] as const) {
    parent
      .command(name)
      .description(`Display ${section} defined in the kubeconfig`)
      .action((_options: unknown, self: Command) => {
        const file = merged(self.optsWithGlobals<GlobalOptions>(), context);
        context.stdout.write(`NAME\n${(file[section] ?? []).map((e) => `${e.name}\n`).join("")}`);
      });
  }
}

function minified(file: File, options: GlobalOptions): File {
  const name = options.context ?? file["current-context"] ?? "";
  const context = file.contexts?.find((c) => c.name === name);
  if (context === undefined)
    throw new CliError(name === "" ? "current-context must exist in order to minify" : `cannot locate context ${name}`);
  const { cluster, user } = (context.context ?? {}) as Record<string, string>;
  return {
    ...file,
    "current-context": name,
    contexts: [context],
    clusters: (file.clusters ?? []).filter((c) => c.name === cluster),
    users: (file.users ?? []).filter((u) => u.name === user),
  };
}

const SECRETS = ["client-key-data", "client-certificate-data", "certificate-authority-data"];

function redacted(file: File): File {
  const hide = (part: object | undefined) =>
    Object.fromEntries(
      Object.entries(part ?? {}).map(([key, value]) => {
        if (SECRETS.includes(key)) return [key, "DATA+OMITTED"];
        return [key, key === "token" || key === "password" ? "REDACTED" : value];
      }),
    );
  return {
    ...file,
    clusters: (file.clusters ?? []).map((e) => ({ ...e, cluster: hide(e.cluster as object) })),
    users: (file.users ?? []).map((e) => ({ ...e, user: hide(e.user as object) })),
  };
}

function flattened(file: File): File {
  const inline = (part: object | undefined) => {
    const result: Record<string, unknown> = { ...part };
    for (const key of ["certificate-authority", "client-certificate", "client-key"]) {
      const path = result[key];
      if (typeof path !== "string") continue;
      delete result[key];
      result[`${key}-data`] = readFileSync(path).toString("base64");
    }
    return result;
  };
  return {
    ...file,
    clusters: (file.clusters ?? []).map((e) => ({ ...e, cluster: inline(e.cluster as object) })),
    users: (file.users ?? []).map((e) => ({ ...e, user: inline(e.user as object) })),
  };
}

function registerSetters(parent: Command, context: CliContext): void {
  parent
    .command("use-context")
    .alias("use")
    .description("Set the current-context in a kubeconfig file")
    .argument("<name>", "the context")
    .action((name: string, _options: unknown, self: Command) => {
      const options = self.optsWithGlobals<GlobalOptions>();
      if (!has("contexts", name)(merged(options, context)))
        throw new CliError(`no context exists with the name: ${JSON.stringify(name)}`);
      change(
        options,
        context,
        (file) => file["current-context"] !== undefined,
        (file) => {
          file["current-context"] = name;
        },
      );
      context.stdout.write(`Switched to context ${JSON.stringify(name)}.\n`);
    });
  const setter = (
    name: string,
    section: Section,
    noun: string,
    flags: readonly [string, string][],
    embeds: readonly string[],
  ) => {
    const command = parent
      .command(name)
      .description(`Set a ${noun} entry in kubeconfig`)
      .argument("[name]", `the ${noun}`);
    for (const [flag, description] of flags) command.option(flag, description);
    if (section === "contexts") command.option("--current", "change the current context");
    if (embeds.length > 0) command.option("--embed-certs", "put the files' contents into the kubeconfig");
    command.action((given: string | undefined, _options: unknown, self: Command) => {
      // A context's own --cluster, --user and --namespace are the global flags of the same names.
      const options = self.optsWithGlobals<GlobalOptions & Record<string, unknown>>();
      const target = given ?? (options.current === true ? merged(options, context)["current-context"] : undefined);
      if (target === undefined || target === "")
        throw new CliError(`you must specify a non-empty ${noun} name${section === "contexts" ? " or --current" : ""}`);
      const existed = has(section, target)(merged(options, context));
      const values = valuesOf(section, options);
      if (options.embedCerts === true) embed(values, embeds);
      change(options, context, has(section, target), (file) => setEntry(file, section, target, values));
      if (section === "contexts") context.stdout.write(`Context "${target}" ${existed ? "modified" : "created"}.\n`);
      else context.stdout.write(`${section === "clusters" ? "Cluster" : "User"} "${target}" set.\n`);
    });
  };
  setter(
    "set-cluster",
    "clusters",
    "cluster",
    [["--proxy-url <url>", "proxy in front of the server"]],
    ["certificate-authority"],
  );
  setter("set-context", "contexts", "context", [], []);
  setter(
    "set-credentials",
    "users",
    "user",
    [
      ["--username <name>", "for basic authentication"],
      ["--password <password>", "for basic authentication"],
      ["--exec-command <path>", "plugin that gives the credentials"],
      ["--exec-api-version <version>", "the plugin's API version"],
    ],
    ["client-certificate", "client-key"],
  );
}

function valuesOf(section: Section, options: GlobalOptions & Record<string, unknown>): Record<string, unknown> {
  const picked = (pairs: Readonly<Record<string, unknown>>) =>
    Object.fromEntries(Object.entries(pairs).filter(([, value]) => value !== undefined));
  if (section === "clusters") {
    return picked({
      server: options.server,
      "certificate-authority": options.certificateAuthority,
      "insecure-skip-tls-verify": options.insecureSkipTlsVerify,
      "tls-server-name": options.tlsServerName,
      "proxy-url": options.proxyUrl,
    });
  }
  if (section === "contexts") {
    return picked({ cluster: options.cluster, user: options.user, namespace: options.namespace });
  }
  const { execCommand, execApiVersion } = options;
  return picked({
    "client-certificate": options.clientCertificate,
    "client-key": options.clientKey,
    token: options.token,
    username: options.username,
    password: options.password,
    exec:
      execCommand === undefined
        ? undefined
        : {
            command: execCommand,
            apiVersion: execApiVersion ?? "client.authentication.k8s.io/v1",
            interactiveMode: "IfAvailable",
          },
  });
}

function embed(values: Record<string, unknown>, keys: readonly string[]): void {
  for (const key of keys) {
    const path = values[key];
    if (typeof path !== "string") continue;
    delete values[key];
    values[`${key}-data`] = readFileSync(path).toString("base64");
  }
}

function registerRemovals(parent: Command, context: CliContext): void {
  const removal = (command: string, section: Section, noun: string) =>
    parent
      .command(command)
      .description(`Delete the specified ${noun} from the kubeconfig`)
      .argument("<name>", `the ${noun}`)
      .action((name: string, _options: unknown, self: Command) => {
        const options = self.optsWithGlobals<GlobalOptions>();
        const paths = pathsOf(options, context);
        const file = merged(options, context);
        if (!has(section, name)(file)) throw new CliError(`cannot delete ${noun} ${name}, not in ${paths[0]}`);
        const path = change(options, context, has(section, name), (found) => {
          found[section] = found[section]?.filter((entry) => entry.name !== name) ?? [];
        });
        if (section === "contexts" && file["current-context"] === name) {
          context.stderr.write(
            'warning: this removed your active context, use "knarr config use-context" to select a different one\n',
          );
        }
        context.stdout.write(`deleted ${noun} ${name} from ${path}\n`);
      });
  removal("delete-cluster", "clusters", "cluster");
  removal("delete-context", "contexts", "context");
  removal("delete-user", "users", "user");
  parent
    .command("rename-context")
    .description("Rename a context from the kubeconfig file")
    .argument("<name>", "its name now")
    .argument("<new>", "its new name")
    .action((name: string, next: string, _options: unknown, self: Command) => {
      const options = self.optsWithGlobals<GlobalOptions>();
      const file = merged(options, context);
      if (!has("contexts", name)(file))
        throw new CliError(`cannot rename the context "${name}", it's not in ${pathsOf(options, context)[0]}`);
      if (has("contexts", next)(file))
        throw new CliError(
          `cannot rename the context "${name}", the context "${next}" already exists in ${pathsOf(options, context)[0]}`,
        );
      change(options, context, has("contexts", name), (found) => {
        for (const entry of found.contexts ?? []) if (entry.name === name) entry.name = next;
        if (found["current-context"] === name) found["current-context"] = next;
      });
      context.stdout.write(`Context "${name}" renamed to "${next}".\n`);
    });
  parent
    .command("unset")
    .description("Unset an individual value in a kubeconfig file")
    .argument("<property>", "current-context, contexts.NAME, clusters.NAME.server, ...")
    .action((property: string, _options: unknown, self: Command) => {
      setProperty(property, undefined, self.optsWithGlobals<GlobalOptions>(), context);
      context.stdout.write(`Property "${property}" unset.\n`);
    });
  parent
    .command("set")
    .description("Set an individual value in a kubeconfig file")
    .argument("<property>", "current-context, clusters.NAME.server, users.NAME.token, ...")
    .argument("<value>", "the value")
    .action((property: string, value: string, _options: unknown, self: Command) => {
      setProperty(property, value, self.optsWithGlobals<GlobalOptions>(), context);
      context.stdout.write(`Property "${property}" set.\n`);
    });
}

function setProperty(property: string, value: string | undefined, options: GlobalOptions, context: CliContext): void {
  const [first = "", ...rest] = property.split(".");
  if (first === "current-context") {
    change(
      options,
      context,
      (file) => file["current-context"] !== undefined,
      (file) => {
        file["current-context"] = value ?? "";
      },
    );
    return;
  }
  if (first !== "clusters" && first !== "contexts" && first !== "users") {
    throw new CliError(`unable to parse ${property}: must begin with clusters, contexts, users or be current-context`);
  }
  // Names may hold dots: the last part is the field, unless the whole is a name.
  const isWhole = value === undefined && has(first, rest.join("."))(merged(options, context));
  const name = isWhole ? rest.join(".") : rest.slice(0, -1).join(".");
  const field = rest.at(-1) ?? "";
  change(options, context, has(first, name), (file) => {
    if (isWhole) file[first] = file[first]?.filter((entry) => entry.name !== name) ?? [];
    else setEntry(file, first, name, { [field]: value });
  });
}
