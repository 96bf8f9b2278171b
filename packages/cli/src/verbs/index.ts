/** Every verb, in the order of `knarr help`. */
import type { Verb } from "../verb.ts";
import { apiResources } from "./api-resources.ts";
import { apply } from "./apply.ts";
import { clusterInfo } from "./cluster-info.ts";
import { create } from "./create.ts";
import { deleteVerb } from "./delete.ts";
import { describe } from "./describe.ts";
import { down } from "./down.ts";
import { exec } from "./exec.ts";
import { get } from "./get.ts";
import { logs } from "./logs.ts";
import { node } from "./node.ts";
import { rollout } from "./rollout.ts";
import { scale } from "./scale.ts";
import { status } from "./status.ts";
import { up } from "./up.ts";
import { version } from "./version.ts";
import { why } from "./why.ts";

export const verbs: readonly Verb[] = [
  up,
  status,
  down,
  node,
  get,
  describe,
  apply,
  create,
  deleteVerb,
  logs,
  exec,
  scale,
  rollout,
  why,
  apiResources,
  clusterInfo,
  version,
];
