/**
 * DynamicResources: pods with resource claims (DRA).
 *
 * Differs from upstream: claims are not allocated here yet. A pod with claims is refused with a reason that says so,
 * instead of being placed without its devices. For other pods the plugin has upstream's one visible effect: its words in
 * the FailedScheduling message.
 */
import { type Plugin, skip, unresolvable, unschedulable } from "../core/framework.ts";

const name = "DynamicResources";
const unsupported = unresolvable(name, "resource claims are not supported by this scheduler");

export const dynamicResources = (): Plugin => ({
  name,
  events: ["TargetPod/Update"],
  preFilter: (_state, { pod }) => ({
    status: (pod.spec?.resourceClaims ?? []).length === 0 ? skip(name) : unsupported,
  }),
  postFilter: () => ({ status: unschedulable(name, "no new claims to deallocate") }),
});
