/** PrioritySort: higher spec.priority first, then first come first served. Source: plugins/queuesort */
import type { Plugin } from "../core/framework.ts";

export const prioritySort = (): Plugin => ({
  name: "PrioritySort",
  compare: (a, b) => b.priority - a.priority || a.queuedAtMs - b.queuedAtMs,
});
