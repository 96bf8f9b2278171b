/** Generators of Roles, ClusterRoles and their bindings. */
import { collect, collectWhole } from "../flags.ts";
import { CliError } from "../verb.ts";
import { type Flags, type Generator, listOf, nameOf, objectOf, textOf } from "./generator.ts";

const RBAC = "rbac.authorization.k8s.io";

/** `deployments.apps/scale` is the subresource of a group's resource. */
interface RuleResource {
  readonly group: string;
  readonly resource: string;
}

function rulesOf(flags: Flags, groupOf: (resource: string) => string): object[] {
  const verbs = [...new Set(listOf(flags, "verb"))];
  if (verbs.length === 0) throw new CliError("at least one verb must be specified");
  const names = listOf(flags, "resourceName");
  const urls = listOf(flags, "nonResourceUrl");
  const resources = listOf(flags, "resource").map((text): RuleResource => {
    const [main = "", subresource] = text.split("/");
    const dot = main.indexOf(".");
    const plain = dot < 0 ? main : main.slice(0, dot);
    const group = dot < 0 ? groupOf(plain) : main.slice(dot + 1);
    return { group, resource: subresource === undefined ? plain : `${plain}/${subresource}` };
  });
  if (resources.length === 0 && urls.length === 0) throw new CliError("at least one resource must be specified");
  const shown = verbs.includes("*") ? ["*"] : verbs;
  const groups = [...new Set(resources.map(({ group }) => group))];
  const ofResources = groups.map((group) => ({
    apiGroups: [group],
    ...(names.length === 0 ? {} : { resourceNames: names }),
    resources: resources.filter((r) => r.group === group).map((r) => r.resource),
    verbs: shown,
  }));
  return [...ofResources, ...(urls.length === 0 ? [] : [{ nonResourceURLs: urls, verbs: shown }])];
}

/** The group of a resource by its plain name; the server's discovery replaces it where there is one. */
export type GroupLookup = (resource: string) => string;

export const roleGenerators = (groupOf: GroupLookup): readonly Generator[] => [
  {
    name: "role",
    description: "Create a role with single rule",
    namespaced: true,
    flags: ruleFlags,
    build: (words, flags) => objectOf(`${RBAC}/v1`, "Role", nameOf(words), { rules: rulesOf(flags, groupOf) }),
  },
  {
    name: "clusterrole",
    description: "Create a cluster role",
    namespaced: false,
    flags: (command) => {
      ruleFlags(command);
      command
        .option("--non-resource-url <paths>", "paths that are no resources", collect)
        .option("--aggregation-rule <selector>", "takes the rules of cluster roles with these labels", collectWhole);
    },
    build(words, flags) {
      const name = nameOf(words);
      const aggregated = listOf(flags, "aggregationRule");
      if (aggregated.length > 0) {
        const matchLabels = Object.fromEntries(
          aggregated.flatMap((t) => t.split(",")).map((pair) => pair.split("=", 2)),
        );
        return objectOf(`${RBAC}/v1`, "ClusterRole", name, {
          aggregationRule: { clusterRoleSelectors: [{ matchLabels }] },
          rules: [],
        });
      }
      return objectOf(`${RBAC}/v1`, "ClusterRole", name, { rules: rulesOf(flags, groupOf) });
    },
  },
];

function ruleFlags(command: Parameters<Generator["flags"]>[0]): void {
  command
    .option("--verb <verbs>", "what may be done", collect)
    .option("--resource <resources>", "to which resources", collect)
    .option("--resource-name <names>", "to which objects only", collect);
}

function subjectsOf(flags: Flags): object[] {
  const subject = (kind: string) => (name: string) => ({ apiGroup: RBAC, kind, name });
  return [
    ...listOf(flags, "user").map(subject("User")),
    ...listOf(flags, "group").map(subject("Group")),
    ...listOf(flags, "serviceaccount").map((text) => {
      const [namespace = "", name = "", ...more] = text.split(":");
      if (namespace === "" || name === "" || more.length > 0) {
        throw new CliError("serviceaccount must be <namespace>:<name>");
      }
      return { kind: "ServiceAccount", name, namespace };
    }),
  ];
}

function subjectFlags(command: Parameters<Generator["flags"]>[0]): void {
  command
    .option("--user <names>", "users", collect)
    .option("--group <names>", "groups", collect)
    .option("--serviceaccount <namespace:name>", "service accounts", collect);
}

function bindingOf(kind: string, name: string, flags: Flags) {
  const [role, clusterRole] = [textOf(flags, "role"), textOf(flags, "clusterrole")];
  if ((role === undefined) === (clusterRole === undefined)) {
    throw new CliError(
      kind === "RoleBinding"
        ? "exactly one of clusterrole or role must be specified"
        : 'required flag(s) "clusterrole" not set',
    );
  }
  const roleRef = { apiGroup: RBAC, kind: role === undefined ? "ClusterRole" : "Role", name: role ?? clusterRole };
  const subjects = subjectsOf(flags);
  return objectOf(`${RBAC}/v1`, kind, name, { roleRef, ...(subjects.length === 0 ? {} : { subjects }) });
}

export const bindingGenerators: readonly Generator[] = [
  {
    name: "rolebinding",
    description: "Create a role binding for a particular role or cluster role",
    namespaced: true,
    failure: "failed to create rolebinding:",
    flags: (command) => {
      command.option("--role <name>", "the role").option("--clusterrole <name>", "the cluster role");
      subjectFlags(command);
    },
    build: (words, flags) => bindingOf("RoleBinding", nameOf(words), flags),
  },
  {
    name: "clusterrolebinding",
    description: "Create a cluster role binding for a particular cluster role",
    namespaced: false,
    failure: "failed to create clusterrolebinding:",
    flags: (command) => {
      command.option("--clusterrole <name>", "the cluster role");
      subjectFlags(command);
    },
    build: (words, flags) => bindingOf("ClusterRoleBinding", nameOf(words), flags),
  },
];
