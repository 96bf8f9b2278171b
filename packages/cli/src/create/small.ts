/** Generators of namespaces, service accounts, quotas, priority classes and disruption budgets. */

import { collect } from "../flags.ts";
import { CliError } from "../verb.ts";
import { type Generator, nameOf, numberOf, objectOf, textOf } from "./generator.ts";

export const namespace: Generator = {
  name: "namespace",
  aliases: ["ns"],
  description: "Create a namespace with the specified name",
  namespaced: false,
  flags: () => {},
  build: (words) => objectOf("v1", "Namespace", nameOf(words), { spec: {}, status: {} }),
};

export const serviceaccount: Generator = {
  name: "serviceaccount",
  aliases: ["sa"],
  description: "Create a service account with the specified name",
  namespaced: true,
  failure: "failed to create serviceaccount:",
  flags: () => {},
  build: (words) => objectOf("v1", "ServiceAccount", nameOf(words), {}),
};

export const quota: Generator = {
  name: "quota",
  aliases: ["resourcequota"],
  description: "Create a quota with the specified name",
  namespaced: true,
  failure: "failed to create quota:",
  flags: (command) =>
    command
      .option("--hard <resource=quantity,...>", "the limits", collect)
      .option("--scopes <scopes>", "what the quota counts", collect),
  build(words, flags) {
    const name = nameOf(words);
    const pairs = ((flags.hard as string[] | undefined) ?? []).map((text) => {
      const [resource = "", value, ...more] = text.split("=");
      if (value === undefined || more.length > 0)
        throw new CliError(`invalid argument syntax ${text}, expected <resource>=<value>`);
      return [resource, value] as const;
    });
    const scopes = (flags.scopes as string[] | undefined) ?? [];
    const spec = {
      ...(pairs.length === 0 ? {} : { hard: Object.fromEntries(pairs) }),
      ...(scopes.length === 0 ? {} : { scopes }),
    };
    return objectOf("v1", "ResourceQuota", name, { spec, status: {} });
  },
};

export const priorityclass: Generator = {
  name: "priorityclass",
  aliases: ["pc"],
  description: "Create a priority class with the specified name",
  namespaced: false,
  failure: "failed to create priorityclass:",
  flags: (command) =>
    command
      .option("--value <n>", "the priority", "0")
      .option("--global-default", "for pods that name no class")
      .option("--description <text>", "what it is for")
      .option("--preemption-policy <policy>", "PreemptLowerPriority or Never", "PreemptLowerPriority"),
  build(words, flags) {
    const description = textOf(flags, "description");
    return objectOf("scheduling.k8s.io/v1", "PriorityClass", nameOf(words), {
      ...(description === undefined ? {} : { description }),
      ...(flags.globalDefault === true ? { globalDefault: true } : {}),
      preemptionPolicy: textOf(flags, "preemptionPolicy"),
      value: numberOf(flags, "value", "value") ?? 0,
    });
  },
};

export const poddisruptionbudget: Generator = {
  name: "poddisruptionbudget",
  aliases: ["pdb"],
  description: "Create a pod disruption budget with the specified name",
  namespaced: true,
  failure: "failed to create poddisruptionbudgets:",
  flags: (command) =>
    command
      .option("--selector <labels>", "the pods that it is about")
      .option("--min-available <n|n%>", "how many must stay")
      .option("--max-unavailable <n|n%>", "how many may be away"),
  build(words, flags) {
    const name = nameOf(words);
    const selector = textOf(flags, "selector");
    if (selector === undefined) throw new CliError("a selector must be specified");
    const [min, max] = [textOf(flags, "minAvailable"), textOf(flags, "maxUnavailable")];
    if (min === undefined && max === undefined)
      throw new CliError("one of min-available or max-unavailable must be specified");
    if (min !== undefined && max !== undefined)
      throw new CliError("min-available and max-unavailable cannot be both specified");
    const count = (text: string) => (/^\d+$/.test(text) ? Number(text) : text);
    const matchLabels = Object.fromEntries(selector.split(",").map((pair) => pair.split(/==?/, 2)));
    const spec = {
      ...(min === undefined ? { maxUnavailable: count(max ?? "") } : { minAvailable: count(min) }),
      selector: { matchLabels },
    };
    const status = { currentHealthy: 0, desiredHealthy: 0, disruptionsAllowed: 0, expectedPods: 0 };
    return objectOf("policy/v1", "PodDisruptionBudget", name, { spec, status });
  },
};
