/** Every `create TYPE`, in the order of its help. */
import { configmap, secretGenerators } from "./config.ts";
import type { Generator } from "./generator.ts";
import { bindingGenerators, type GroupLookup, roleGenerators } from "./rbac.ts";
import { ingress, serviceGenerators } from "./services.ts";
import { namespace, poddisruptionbudget, priorityclass, quota, serviceaccount } from "./small.ts";
import { cronjob, deployment, job } from "./workloads.ts";

export const generatorsWith = (groupOf: GroupLookup): readonly Generator[] => [
  ...roleGenerators(groupOf),
  ...bindingGenerators,
  configmap,
  cronjob,
  deployment,
  ingress,
  job,
  namespace,
  poddisruptionbudget,
  priorityclass,
  quota,
  ...secretGenerators,
  ...serviceGenerators,
  serviceaccount,
];
