/** `-o`: how objects are printed. Human tables are the server's (server-table.ts); everything else is here. */
import { readFileSync } from "node:fs";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { Command } from "commander";
import { parseColumns, parseColumnsFile, renderColumns } from "./core/custom-columns.ts";
import { renderGoTemplate } from "./core/go-template.ts";
import { findValues, renderJsonPath } from "./core/json-path.ts";
import { renderKyaml } from "./core/kyaml.ts";
import { renderJson, renderYaml, withoutManagedFields } from "./core/output.ts";
import { type CliContext, CliError } from "./verb.ts";

export interface PrintOptions {
  readonly output?: string;
  readonly template?: string;
  readonly allowMissingTemplateKeys?: boolean;
  readonly showManagedFields?: boolean;
  readonly headers?: boolean;
}

/** Prints one object or one List. */
export interface Printer {
  readonly format: string;
  render(value: unknown): string;
}

const OBJECT_FORMATS = [
  "go-template",
  "go-template-file",
  "json",
  "jsonpath",
  "jsonpath-as-json",
  "jsonpath-file",
  "kyaml",
  "name",
  "template",
  "templatefile",
  "yaml",
];
const TABLE_FORMATS = ["custom-columns", "custom-columns-file", "wide"];

export function addPrintFlags(command: Command): Command {
  return command
    .option("-o, --output <format>", `one of: ${OBJECT_FORMATS.join(", ")}`)
    .option("--template <text>", "template, or its file, for -o=go-template and -o=go-template-file")
    .option("--allow-missing-template-keys", "ignore absent fields in templates", true)
    .option("--no-allow-missing-template-keys", "fail on absent fields in templates")
    .option("--show-managed-fields", "keep managedFields in yaml and json");
}

/**
 * The printer that -o names; undefined for the human form (nothing, or wide where tables are allowed). Throws CliError
 * listing what is allowed.
 */
export function printerOf(options: PrintOptions, tables = false): Printer | undefined {
  const { output, template } = options;
  const text = output === undefined || output === "" ? (template === undefined ? "" : "go-template") : output;
  if (text === "" || (tables && text === "wide")) return undefined;
  const equals = text.indexOf("=");
  const format = equals < 0 ? text : text.slice(0, equals);
  const argument = equals < 0 ? template : text.slice(equals + 1);
  const allowed = tables ? [...OBJECT_FORMATS, ...TABLE_FORMATS].sort() : OBJECT_FORMATS;
  if (!allowed.includes(format) || (equals >= 0 && !takesArgument(format))) {
    throw new CliError(
      `unable to match a printer suitable for the output format ${JSON.stringify(text)}, allowed formats are: ${allowed.join(",")}`,
    );
  }
  const render = rendererOf(format, argument, options);
  const shown = options.showManagedFields === true ? (value: unknown) => value : hideManagedFields;
  return { format, render: (value) => render(shown(value)) };
}

const takesArgument = (format: string) => !["json", "yaml", "kyaml", "name", "wide"].includes(format);

function rendererOf(format: string, argument: string | undefined, options: PrintOptions): (value: unknown) => string {
  switch (format) {
    case "json":
      return renderJson;
    case "yaml":
      return renderYaml;
    case "kyaml":
      return renderKyaml;
    case "name":
      return (value) =>
        itemsOf(value)
          .map((item) => `${nameOf(item as KubeObject)}\n`)
          .join("");
    case "custom-columns":
    case "custom-columns-file": {
      const isFile = format === "custom-columns-file";
      if (isFile && argument === undefined) {
        throw new CliError("custom-columns format specified but no custom columns given");
      }
      const columns = isFile ? parseColumnsFile(readText(argument ?? "")) : parseColumns(argument ?? "");
      return (value) => renderColumns(columns, itemsOf(value), { headings: options.headers !== false });
    }
    case "jsonpath":
    case "jsonpath-file":
    case "jsonpath-as-json":
      return jsonPathRenderer(format, argument, options);
    default:
      return goTemplateRenderer(format, argument);
  }
}

function jsonPathRenderer(format: string, argument: string | undefined, options: PrintOptions) {
  if (argument === undefined || argument === "") {
    throw new CliError("template format specified but no template given");
  }
  const raw = format === "jsonpath-file" ? readText(argument) : argument;
  // kubectl takes a bare path as well.
  const template = raw.includes("{") ? raw : `{${raw}}`;
  const missing = { allowMissingKeys: options.allowMissingTemplateKeys !== false };
  if (format === "jsonpath-as-json") {
    return (value: unknown) => `${JSON.stringify(findValues(template, value, missing), undefined, 4)}\n`;
  }
  return (value: unknown) => renderJsonPath(template, value, missing);
}

function goTemplateRenderer(format: string, argument: string | undefined) {
  if (argument === undefined || argument === "") {
    throw new CliError("template format specified but no template given");
  }
  const template = format.endsWith("file") ? readText(argument) : argument;
  return (value: unknown) => renderGoTemplate(template, value);
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new CliError(`error reading --template ${path}, ${(error as Error).message}`);
  }
}

function itemsOf(value: unknown): readonly unknown[] {
  const { items } = value as { items?: unknown };
  return Array.isArray(items) ? items : [value];
}

function hideManagedFields(value: unknown): unknown {
  const { items, metadata } = value as { items?: KubeObject[]; metadata?: unknown };
  if (Array.isArray(items)) return { ...(value as object), items: items.map(withoutManagedFields) };
  return metadata === undefined ? value : withoutManagedFields(value as KubeObject);
}

/** `pod/web`, `deployment.apps/web`, from the object itself. */
export function nameOf(object: KubeObject): string {
  const { apiVersion = "v1", kind = "" } = object as { apiVersion?: string; kind?: string };
  const group = apiVersion.includes("/") ? `.${apiVersion.split("/")[0]}` : "";
  return `${kind.toLowerCase()}${group}/${object.metadata.name ?? ""}`;
}

/** What a verb did to an object: `pod/web labeled`, or the object as -o asks. */
export class ResultPrinter {
  readonly #printer: Printer | undefined;
  readonly #context: CliContext;
  readonly #suffix: string;
  #printed = 0;

  constructor(options: PrintOptions & { readonly dryRun?: string }, context: CliContext) {
    this.#printer = printerOf(options);
    this.#context = context;
    const suffixes: Readonly<Record<string, string>> = { client: " (dry run)", server: " (server dry run)" };
    this.#suffix = suffixes[options.dryRun ?? ""] ?? "";
  }

  print(object: KubeObject, did: string): void {
    const { stdout } = this.#context;
    if (this.#printer === undefined) stdout.write(`${nameOf(object)} ${did}${this.#suffix}\n`);
    else {
      if (this.#printer.format === "yaml" && this.#printed > 0) stdout.write("---\n");
      stdout.write(this.#printer.render(object));
    }
    this.#printed++;
  }
}

export type DryRun = "none" | "client" | "server";

export function addDryRunFlag(command: Command): Command {
  return command.option("--dry-run <mode>", 'must be "none", "server" or "client"', "none");
}

/** Throws CliError in kubectl's words. */
export function parseDryRun(text: string | undefined): DryRun {
  if (text === undefined || text === "none") return "none";
  if (text === "client" || text === "server") return text;
  throw new CliError(`Invalid dry-run value (${text}). Must be "none", "server", or "client".`);
}
