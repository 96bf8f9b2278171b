/**
 * Every controller, in the order in which they start. The garbage collector comes last: it shares the informers that the
 * others have asked for.
 */
import type { Controller } from "../controller-context.ts";
import { deploymentController } from "./deployment.ts";
import { endpointsController } from "./endpoints.ts";
import { endpointsliceController } from "./endpointslice.ts";
import { replicasetController } from "./replicaset.ts";

export const controllers: readonly Controller[] = [
  endpointsController,
  endpointsliceController,
  replicasetController,
  deploymentController,
];
