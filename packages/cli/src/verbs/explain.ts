/** `knarr explain`: the fields of a kind, from the server's OpenAPI v3 documents. */
import type { Client } from "@knarr/client/client.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { type DiscoveredResource, resolveBare } from "../core/resource-mapper.ts";
import { discover } from "../discovery.ts";
import { type CliContext, CliError, type GlobalOptions, type Verb } from "../verb.ts";

interface ExplainOptions extends GlobalOptions {
  readonly recursive?: boolean;
  readonly apiVersion?: string;
  readonly output: string;
}
interface Schema {
  readonly type?: string;
  readonly format?: string;
  readonly description?: string;
  readonly $ref?: string;
  readonly allOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
  readonly required?: readonly string[];
  readonly enum?: readonly string[];
  readonly "x-kubernetes-group-version-kind"?: readonly { group: string; version: string; kind: string }[];
}
type Schemas = Readonly<Record<string, Schema>>;

export const explain: Verb = {
  name: "explain",
  register(program, context) {
    program
      .command("explain")
      .description("Get documentation for a resource")
      .argument("[type.field.field]", "a type, or a field of it")
      .option("--recursive", "the fields of the fields as well")
      .option("--api-version <group/version>", "the version to explain")
      .option("-o, --output <format>", "plaintext", "plaintext")
      .action((word: string | undefined, _options: unknown, self: Command) =>
        runExplain(word, self.optsWithGlobals<ExplainOptions>(), context),
      );
  },
};

async function runExplain(word: string | undefined, options: ExplainOptions, context: CliContext): Promise<void> {
  if (word === undefined) {
    throw new CliError(
      'You must specify the type of resource to explain. Use "knarr api-resources" for a complete list of supported resources.',
    );
  }
  const [type = "", ...path] = word.split(".");
  const { client } = await connect(options, context);
  const mapper = await discover(client, context.signal);
  const resource = resourceOf(type, options, mapper.resources, () => resolveBare(mapper, type));
  const schemas = await schemasOf(client, resource, context.signal);
  const root = Object.values(schemas).find((schema) =>
    schema["x-kubernetes-group-version-kind"]?.some(
      (gvk) => gvk.group === resource.group && gvk.version === resource.version && gvk.kind === resource.kind,
    ),
  );
  if (root === undefined)
    throw new CliError(`couldn't find resource for "${resource.group}/${resource.version}, Kind=${resource.kind}"`);
  const group = resource.group === "" ? "" : `GROUP:      ${resource.group}\n`;
  context.stdout.write(`${group}KIND:       ${resource.kind}\nVERSION:    ${resource.version}\n\n`);
  context.stdout.write(explainText(root, path, schemas, options.recursive === true));
}

function resourceOf(
  type: string,
  options: ExplainOptions,
  resources: readonly DiscoveredResource[],
  preferred: () => DiscoveredResource,
): DiscoveredResource {
  const found = preferred();
  if (options.apiVersion === undefined) return found;
  const [first = "", second] = options.apiVersion.split("/");
  const [group, version] = second === undefined ? ["", first] : [first, second];
  const other = resources.find((r) => r.kind === found.kind && r.group === group && r.version === version);
  if (other === undefined) throw new CliError(`couldn't find resource for "${options.apiVersion}, Kind=${type}"`);
  return other;
}

async function schemasOf(client: Client, resource: DiscoveredResource, signal: AbortSignal): Promise<Schemas> {
  const get = async (path: string, query = {}) => {
    const { body } = await client.request({
      method: "GET",
      path,
      query,
      headers: { accept: "application/json" },
      signal,
    });
    return JSON.parse(body.toString("utf8")) as unknown;
  };
  const index = (await get("/openapi/v3")) as { paths: Record<string, { serverRelativeURL: string }> };
  const name = resource.group === "" ? `api/${resource.version}` : `apis/${resource.group}/${resource.version}`;
  const entry = index.paths[name];
  if (entry === undefined) throw new CliError(`couldn't find resource for "${name}"`);
  const url = new URL(entry.serverRelativeURL, "http://server");
  const document = await get(url.pathname, Object.fromEntries(url.searchParams));
  return (document as { components?: { schemas?: Schemas } }).components?.schemas ?? {};
}

/** The schema behind references, and behind the single-element allOf that stands around them. */
function resolved(schema: Schema, schemas: Schemas): Schema {
  const ref = schema.$ref ?? schema.allOf?.[0]?.$ref;
  if (ref === undefined) return schema;
  const target = schemas[ref.replace("#/components/schemas/", "")] ?? {};
  return { ...target, ...(schema.description === undefined ? {} : { description: schema.description }) };
}

/** Types of their own in the schemas that kubectl shows as what they are. */
const TEXTS = new Set(["Time", "MicroTime"]);

function typeText(schema: Schema, schemas: Schemas): string {
  const ref = schema.$ref ?? schema.allOf?.[0]?.$ref;
  if (ref !== undefined) {
    const name = ref.split(".").at(-1) ?? "";
    return TEXTS.has(name) ? "string" : name;
  }
  if (schema.type === "array") return `[]${typeText(schema.items ?? {}, schemas)}`;
  if (typeof schema.additionalProperties === "object")
    return `map[string]${typeText(schema.additionalProperties, schemas)}`;
  return schema.type ?? "Object";
}

function inner(schema: Schema, schemas: Schemas): Schema {
  const found = resolved(schema, schemas);
  if (found.type === "array") return inner(found.items ?? {}, schemas);
  if (typeof found.additionalProperties === "object") return inner(found.additionalProperties, schemas);
  return found;
}

function explainText(root: Schema, path: readonly string[], schemas: Schemas, recursive: boolean): string {
  let schema = root;
  let field: { name: string; schema: Schema } | undefined;
  for (const name of path) {
    const next = inner(schema, schemas).properties?.[name];
    if (next === undefined) throw new CliError(`field "${name}" does not exist`);
    field = { name, schema: next };
    schema = next;
  }
  const found = inner(schema, schemas);
  const title =
    field === undefined ? "" : `FIELD: ${field.name} <${typeText(field.schema, schemas)}>\n${enumText(found)}\n`;
  const texts = descriptionsOf(field?.schema ?? root, schemas);
  const described = texts.map((text) => wrapped(text, "    ")).join("");
  const description = texts.length === 0 ? "    <empty>\n" : `${described}    \n`;
  const fields = found.properties === undefined ? "\n" : `FIELDS:\n${fieldsText(found, schemas, recursive, 1, [])}\n`;
  return `${title}DESCRIPTION:\n${description}${fields}`;
}

/** The field's own, then those of what it refers to or holds, as far as there are any. */
function descriptionsOf(schema: Schema, schemas: Schemas): string[] {
  const own = schema.description?.trim() ?? "";
  const ref = schema.$ref ?? schema.allOf?.[0]?.$ref;
  const next =
    ref !== undefined
      ? schemas[ref.replace("#/components/schemas/", "")]
      : (schema.items ?? (typeof schema.additionalProperties === "object" ? schema.additionalProperties : undefined));
  return [...(own === "" ? [] : [own]), ...(next === undefined ? [] : descriptionsOf(next, schemas))];
}

function enumText(schema: Schema): string {
  return schema.enum === undefined ? "\n" : `ENUM:\n${schema.enum.map((value) => `    ${value}\n`).join("")}`;
}

function fieldsText(
  schema: Schema,
  schemas: Schemas,
  recursive: boolean,
  depth: number,
  seen: readonly Schema[],
): string {
  const indent = "  ".repeat(depth);
  return Object.entries(schema.properties ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, property]) => {
      const required = schema.required?.includes(name) === true ? " -required-" : "";
      const line = `${indent}${name}\t<${typeText(property, schemas)}>${required}\n`;
      if (recursive) {
        const next = inner(property, schemas);
        if (next.properties === undefined || seen.includes(next)) return line;
        return line + fieldsText(next, schemas, true, depth + 1, [...seen, next]);
      }
      const described = property.description ?? resolved(property, schemas).description ?? "<no description>";
      const values = property.enum === undefined ? "" : `${indent}enum: ${property.enum.join(", ")}\n`;
      return `${line}${values}${wrapped(described, "    ")}\n`;
    })
    .join("");
}

/** Lines of at most 80 columns, each indented. */
function wrapped(text: string, indent: string): string {
  const lines: string[] = [];
  for (const paragraph of text.split("\n")) {
    let line = "";
    for (const word of paragraph.split(" ")) {
      if (line !== "" && line.length + 1 + word.length > 76) {
        lines.push(line);
        line = word;
      } else line = line === "" ? word : `${line} ${word}`;
    }
    lines.push(line);
  }
  return `${lines.map((line) => `${indent}${line}`.trimEnd()).join("\n")}\n`;
}
