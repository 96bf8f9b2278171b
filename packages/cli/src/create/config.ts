/** Generators of ConfigMaps and Secrets. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { collect, collectWhole } from "../flags.ts";
import { hashOf } from "../kustomize/generators.ts";
import { CliError } from "../verb.ts";
import { type Flags, type Generator, listOf, nameOf, objectOf, required, textOf } from "./generator.ts";

const KEY = /^[-._a-zA-Z0-9]+$/;

/** The data that --from-file, --from-literal and --from-env-file name, in the order of their keys. */
function collectData(flags: Flags): Map<string, Buffer> {
  const data = new Map<string, Buffer>();
  const add = (key: string, value: Buffer) => {
    if (!KEY.test(key)) {
      throw new CliError(
        `${JSON.stringify(key)} is not a valid key name: a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')`,
      );
    }
    if (data.has(key)) {
      throw new CliError(`cannot add key ${JSON.stringify(key)}, another key by that name already exists`);
    }
    data.set(key, value);
  };
  for (const text of listOf(flags, "fromFile")) {
    const equals = text.indexOf("=");
    const path = equals < 0 ? text : text.slice(equals + 1);
    if (equals < 0 && read(() => statSync(path)).isDirectory()) {
      for (const entry of readdirSync(path, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
        if (entry.isFile() && KEY.test(entry.name)) add(entry.name, readFileSync(join(path, entry.name)));
      }
    } else
      add(
        equals < 0 ? basename(path) : text.slice(0, equals),
        read(() => readFileSync(path)),
      );
  }
  for (const text of listOf(flags, "fromLiteral")) {
    const equals = text.indexOf("=");
    if (equals < 1) throw new CliError(`invalid literal source ${text}, expected key=value`);
    add(text.slice(0, equals), Buffer.from(text.slice(equals + 1).replace(/^(["'])(.*)\1$/s, "$2")));
  }
  for (const path of listOf(flags, "fromEnvFile")) {
    for (const line of read(() => readFileSync(path, "utf8")).split(/\r?\n/)) {
      const trimmed = line.trimStart();
      if (trimmed === "" || trimmed.startsWith("#")) continue;
      const equals = trimmed.indexOf("=");
      if (equals < 0) add(trimmed, Buffer.from(process.env[trimmed] ?? ""));
      else add(trimmed.slice(0, equals), Buffer.from(trimmed.slice(equals + 1)));
    }
  }
  return new Map([...data].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function read<T>(from: () => T): T {
  try {
    return from();
  } catch (error) {
    const { code, path } = error as NodeJS.ErrnoException;
    throw new CliError(
      code === "ENOENT" ? `error reading ${path}: no such file or directory` : (error as Error).message,
    );
  }
}

const isText = (data: Buffer) => Buffer.from(data.toString("utf8"), "utf8").equals(data);

export const configmap: Generator = {
  name: "configmap",
  aliases: ["cm"],
  description: "Create a config map from a local file, directory or literal value",
  namespaced: true,
  failure: "failed to create configmap:",
  flags: sourceFlags,
  build(words, flags) {
    const data: Record<string, string> = {};
    const binaryData: Record<string, string> = {};
    for (const [key, value] of collectData(flags)) {
      if (isText(value)) data[key] = value.toString("utf8");
      else binaryData[key] = value.toString("base64");
    }
    const name = nameOf(words);
    const content = {
      ...(Object.keys(data).length === 0 ? {} : { data }),
      ...(Object.keys(binaryData).length === 0 ? {} : { binaryData }),
    };
    const suffix =
      flags.appendHash === true
        ? `-${hashOf({ kind: "ConfigMap", name, data, ...(content.binaryData === undefined ? {} : { binaryData }) })}`
        : "";
    return objectOf("v1", "ConfigMap", `${name}${suffix}`, content);
  },
};

function sourceFlags(command: Parameters<Generator["flags"]>[0]): void {
  command
    .option("--from-file <[key=]path>", "a file or folder, can be repeated", collectWhole)
    .option("--from-literal <key=value>", "a value, can be repeated", collectWhole)
    .option("--from-env-file <path>", "a file with lines key=value, can be repeated", collect)
    .option("--append-hash", "end the name with a hash of the content");
}

function secretOf(name: string, data: ReadonlyMap<string, Buffer>, type: string | undefined, flags: Flags) {
  const encoded = Object.fromEntries([...data].map(([key, value]) => [key, value.toString("base64")]));
  const content = {
    ...(data.size === 0 ? {} : { data: encoded }),
    ...(type === undefined ? {} : { type }),
  };
  const suffix =
    flags.appendHash === true ? `-${hashOf({ kind: "Secret", type: type ?? "", name, data: encoded })}` : "";
  return objectOf("v1", "Secret", `${name}${suffix}`, content);
}

export const secretGenerators: readonly Generator[] = [
  {
    name: "secret generic",
    description: "Create a secret from a local file, directory, or literal value",
    namespaced: true,
    failure: "failed to create secret",
    flags: (command) => {
      sourceFlags(command);
      command.option("--type <type>", "type of the secret");
    },
    build: (words, flags) => secretOf(nameOf(words), collectData(flags), textOf(flags, "type"), flags),
  },
  {
    name: "secret tls",
    description: "Create a TLS secret",
    namespaced: true,
    failure: "failed to create secret",
    flags: (command) =>
      command
        .option("--cert <path>", "certificate, PEM")
        .option("--key <path>", "its private key, PEM")
        .option("--append-hash", "end the name with a hash of the content"),
    build(words, flags) {
      const name = nameOf(words);
      const cert = read(() => readFileSync(required(flags, "cert")));
      const key = read(() => readFileSync(required(flags, "key")));
      if (!cert.includes("BEGIN CERTIFICATE")) {
        throw new CliError("tls: failed to find any PEM data in certificate input");
      }
      if (!key.includes("PRIVATE KEY")) throw new CliError("tls: failed to find any PEM data in key input");
      const data = new Map([
        ["tls.crt", cert],
        ["tls.key", key],
      ]);
      return secretOf(name, data, "kubernetes.io/tls", flags);
    },
  },
  {
    name: "secret docker-registry",
    description: "Create a secret for use with a Docker registry",
    namespaced: true,
    failure: "failed to create secret",
    flags: (command) =>
      command
        .option("--docker-server <address>", "the registry", "https://index.docker.io/v1/")
        .option("--docker-username <name>", "user name")
        .option("--docker-password <password>", "password")
        .option("--docker-email <address>", "e-mail address")
        .option("--from-file <[key=]path>", "a docker config.json", collectWhole)
        .option("--append-hash", "end the name with a hash of the content"),
    build(words, flags) {
      const name = nameOf(words);
      const type = "kubernetes.io/dockerconfigjson";
      const [file] = listOf(flags, "fromFile");
      if (file !== undefined) {
        const path = file.slice(file.indexOf("=") + 1);
        return secretOf(name, new Map([[".dockerconfigjson", read(() => readFileSync(path))]]), type, flags);
      }
      const username = textOf(flags, "dockerUsername");
      const password = textOf(flags, "dockerPassword");
      if (username === undefined || password === undefined) {
        throw new CliError(
          "either --from-file or the combination of --docker-username, --docker-password and --docker-server is required",
        );
      }
      const email = textOf(flags, "dockerEmail");
      const entry = {
        username,
        password,
        ...(email === undefined ? {} : { email }),
        auth: Buffer.from(`${username}:${password}`).toString("base64"),
      };
      const auths = { auths: { [required(flags, "dockerServer")]: entry } };
      return secretOf(name, new Map([[".dockerconfigjson", Buffer.from(JSON.stringify(auths))]]), type, flags);
    },
  },
];
