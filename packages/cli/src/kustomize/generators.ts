/** configMapGenerator and secretGenerator: objects from literals and files, named after their content. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { basename, resolve } from "node:path";
import { stringifyCanonical } from "@knarr/apimachinery/json.ts";
import { CliError } from "../verb.ts";
import { type Item, rememberName } from "./item.ts";

export interface GeneratorOptions {
  readonly disableNameSuffixHash?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly immutable?: boolean;
}
export interface GeneratorArgs {
  readonly name: string;
  readonly namespace?: string;
  readonly behavior?: "create" | "merge" | "replace";
  readonly literals?: readonly string[];
  readonly files?: readonly string[];
  readonly envs?: readonly string[];
  readonly env?: string;
  readonly type?: string;
  readonly options?: GeneratorOptions;
}

/** `base` is what behavior: merge adds to. Throws CliError for files that can't be read. */
export function generateConfig(
  kind: "ConfigMap" | "Secret",
  args: GeneratorArgs,
  common: GeneratorOptions,
  folder: string,
  base?: Item & { data?: object },
): Item {
  const options = { ...common, ...args.options };
  const entries = new Map<string, Buffer>();
  for (const text of args.literals ?? []) {
    const equals = text.indexOf("=");
    if (equals < 1) throw new CliError(`invalid literal source ${text}, expected key=value`);
    entries.set(text.slice(0, equals), Buffer.from(text.slice(equals + 1).replace(/^(["'])(.*)\1$/s, "$2")));
  }
  for (const text of args.files ?? []) {
    const equals = text.indexOf("=");
    const path = equals < 0 ? text : text.slice(equals + 1);
    entries.set(equals < 0 ? basename(path) : text.slice(0, equals), readIn(folder, path));
  }
  for (const path of [...(args.envs ?? []), ...(args.env === undefined ? [] : [args.env])]) {
    for (const line of readIn(folder, path).toString("utf8").split(/\r?\n/)) {
      const trimmed = line.trim();
      const equals = trimmed.indexOf("=");
      if (trimmed !== "" && !trimmed.startsWith("#") && equals > 0) {
        entries.set(trimmed.slice(0, equals), Buffer.from(trimmed.slice(equals + 1)));
      }
    }
  }
  const data: Record<string, string> = { ...(base?.data as Record<string, string> | undefined) };
  const binaryData: Record<string, string> = {};
  for (const [key, value] of [...entries].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (kind === "Secret") data[key] = value.toString("base64");
    else if (Buffer.from(value.toString("utf8")).equals(value)) data[key] = value.toString("utf8");
    else binaryData[key] = value.toString("base64");
  }
  const content = {
    ...(Object.keys(data).length === 0 ? {} : { data }),
    ...(Object.keys(binaryData).length === 0 ? {} : { binaryData }),
    ...(options.immutable === true ? { immutable: true } : {}),
    ...(kind === "Secret" ? { type: args.type ?? "Opaque" } : {}),
  };
  const hashed =
    kind === "ConfigMap"
      ? { kind, name: args.name, data, ...(content.binaryData === undefined ? {} : { binaryData }) }
      : { kind, type: content.type, name: args.name, data };
  const suffix = options.disableNameSuffixHash === true ? "" : `-${hashOf(hashed)}`;
  const item = {
    apiVersion: "v1",
    ...content,
    kind,
    metadata: {
      ...(options.annotations === undefined ? {} : { annotations: options.annotations }),
      ...(options.labels === undefined ? {} : { labels: options.labels }),
      name: `${args.name}${suffix}`,
      ...(args.namespace === undefined ? {} : { namespace: args.namespace }),
    },
  } as Item;
  rememberName(item, args.name);
  return item;
}

function readIn(folder: string, path: string): Buffer {
  try {
    return readFileSync(resolve(folder, path));
  } catch (error) {
    throw new CliError(`loading KV pairs: ${(error as Error).message}`);
  }
}

/** Source: kustomize api/hasher: ten digits of SHA-256 in an alphabet without vowels and look-alikes. */
export function hashOf(value: object): string {
  const digits = createHash("sha256").update(stringifyCanonical(value)).digest("hex").slice(0, 10);
  const alphabet: Readonly<Record<string, string>> = { 0: "g", 1: "h", 3: "k", a: "m", e: "t" };
  return [...digits].map((c) => alphabet[c] ?? c).join("");
}
