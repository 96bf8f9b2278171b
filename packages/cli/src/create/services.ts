/** Generators of Services and Ingresses. */
import { collect, collectWhole } from "../flags.ts";
import { CliError } from "../verb.ts";
import { type Flags, type Generator, listOf, nameOf, numberOf, objectOf, textOf } from "./generator.ts";

/** `80`, `80:8080`, `80:http`: port and target port. */
function portOf(text: string): { port: number; targetPort: number | string; name: string } {
  const [first = "", second] = text.split(":");
  const port = Number(first);
  if (!/^\d+$/.test(first) || port < 1 || port > 65535) {
    throw new CliError(`invalid port specification: ${text}: port must be between 1 and 65535`);
  }
  const target = second ?? first;
  const targetPort = /^\d+$/.test(target) ? Number(target) : target;
  return { port, targetPort, name: text.replace(":", "-") };
}

function serviceOf(type: string) {
  return (words: readonly string[], flags: Flags) => {
    const name = nameOf(words);
    const tcp = listOf(flags, "tcp");
    const clusterIP = textOf(flags, "clusterip");
    const isHeadless = clusterIP === "None";
    if (tcp.length === 0 && !isHeadless) throw new CliError("at least one tcp port specifier must be provided");
    const nodePort = numberOf(flags, "nodePort", "node-port");
    const ports = tcp.map((text) => {
      const { port, targetPort, name: portName } = portOf(text);
      return { name: portName, port, protocol: "TCP", targetPort, ...(nodePort === undefined ? {} : { nodePort }) };
    });
    const labels = { app: name };
    const spec = {
      ...(clusterIP === undefined ? {} : { clusterIP }),
      ...(ports.length === 0 ? {} : { ports }),
      selector: labels,
      type,
    };
    return objectOf("v1", "Service", name, { spec, status: { loadBalancer: {} } }, labels);
  };
}

const service = (name: string, type: string, description: string, nodePort = false): Generator => ({
  name: `service ${name}`,
  description,
  namespaced: true,
  failure: `failed to create ${type} service:`,
  flags: (command) => {
    command.option("--tcp <port[:target]>", "port and target port, can be repeated", collect);
    if (name === "clusterip") command.option("--clusterip <address>", "the address, or None for a headless service");
    if (nodePort) command.option("--node-port <n>", "the port on every node");
  },
  build: serviceOf(type),
});

export const serviceGenerators: readonly Generator[] = [
  service("clusterip", "ClusterIP", "Create a ClusterIP service"),
  service("nodeport", "NodePort", "Create a NodePort service", true),
  service("loadbalancer", "LoadBalancer", "Create a LoadBalancer service"),
  {
    name: "service externalname",
    description: "Create an ExternalName service",
    namespaced: true,
    failure: "failed to create ExternalName service:",
    flags: (command) =>
      command
        .option("--external-name <name>", "the name that it stands for")
        .option("--tcp <port[:target]>", "port and target port, can be repeated", collect),
    build(words, flags) {
      const name = nameOf(words);
      const externalName = textOf(flags, "externalName");
      if (externalName === undefined) throw new CliError('required flag(s) "external-name" not set');
      const ports = listOf(flags, "tcp").map((text) => {
        const { port, targetPort, name: portName } = portOf(text);
        return { name: portName, port, protocol: "TCP", targetPort };
      });
      const labels = { app: name };
      const spec = { externalName, ...(ports.length === 0 ? {} : { ports }), selector: labels, type: "ExternalName" };
      return objectOf("v1", "Service", name, { spec, status: { loadBalancer: {} } }, labels);
    },
  },
];

export const ingress: Generator = {
  name: "ingress",
  aliases: ["ing"],
  description: "Create an ingress with the specified name",
  namespaced: true,
  failure: "failed to create ingress:",
  flags: (command) =>
    command
      .option("--class <name>", "ingress class")
      .option("--rule <host/path=service:port[,tls[=secret]]>", "a rule, can be repeated", collectWhole)
      .option("--default-backend <service:port>", "where everything else goes")
      .option("--annotation <key=value>", "annotation, can be repeated", collectWhole),
  build(words, flags) {
    const name = nameOf(words);
    const rules = listOf(flags, "rule").map(parseRule);
    const backend = textOf(flags, "defaultBackend");
    if (rules.length === 0 && backend === undefined) {
      throw new CliError(
        "not enough information provided: every ingress has to either specify a default-backend (which catches all traffic) or a list of rules (which catch specific paths)",
      );
    }
    const annotations = Object.fromEntries(listOf(flags, "annotation").map((text) => text.split("=", 2)));
    const className = textOf(flags, "class");
    const hosts = [...new Set(rules.map((rule) => rule.host))];
    const secrets = [...new Set(rules.flatMap((rule) => (rule.tls === undefined ? [] : [rule.tls])))];
    const spec = {
      ...(className === undefined ? {} : { ingressClassName: className }),
      ...(backend === undefined ? {} : { defaultBackend: backendOf(backend) }),
      ...(rules.length === 0
        ? {}
        : {
            rules: hosts.map((host) => ({
              ...(host === "" ? {} : { host }),
              http: { paths: rules.filter((rule) => rule.host === host).map(({ path }) => path) },
            })),
          }),
      ...(secrets.length === 0
        ? {}
        : {
            tls: secrets.map((secret) => ({
              hosts: [...new Set(rules.filter((r) => r.tls === secret && r.host !== "").map((r) => r.host))],
              ...(secret === "" ? {} : { secretName: secret }),
            })),
          }),
    };
    const made = objectOf("networking.k8s.io/v1", "Ingress", name, { spec, status: { loadBalancer: {} } });
    return Object.keys(annotations).length === 0 ? made : { ...made, metadata: { ...made.metadata, annotations } };
  },
};

function parseRule(text: string) {
  const found = /^([^/=]*)(\/[^=]*)=([^,]+)(?:,(tls)(?:=(.*))?)?$/.exec(text);
  if (found === null) {
    throw new CliError(`rule ${text} is invalid and should be in format host/path=svcname:svcport[,tls[=secret]]`);
  }
  const [, host = "", path = "", backend = "", tls, secret] = found;
  const isPrefix = path.endsWith("*");
  return {
    host,
    path: {
      backend: backendOf(backend),
      path: isPrefix ? path.slice(0, -1) : path,
      pathType: isPrefix ? "Prefix" : "Exact",
    },
    tls: tls === undefined ? undefined : (secret ?? ""),
  };
}

function backendOf(text: string) {
  const [name = "", port = ""] = text.split(":");
  if (name === "" || port === "") throw new CliError(`backend ${text} must be in format service:port`);
  return { service: { name, port: /^\d+$/.test(port) ? { number: Number(port) } : { name: port } } };
}
