/** The way up, in order. */
import { addons } from "./addons.ts";
import { apiserver, controllers, etcd } from "./control-plane.ts";
import { credentials } from "./credentials.ts";
import { network } from "./network.ts";
import { nodes } from "./nodes.ts";
import type { Phase } from "./phase.ts";
import { preflight } from "./preflight.ts";
import { ready } from "./ready.ts";

export const phases: readonly Phase[] = [
  preflight,
  network,
  credentials,
  etcd,
  apiserver,
  addons,
  controllers,
  nodes,
  ready,
];
