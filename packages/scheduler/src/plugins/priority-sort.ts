/** PrioritySort: higher spec.priority first, then first come first served. Source: plugins/queuesort */
import type { QueueSortPlugin } from "../core/framework.ts";

export const prioritySort: QueueSortPlugin = {
  name: "PrioritySort",
  compare: (a, b) => (b.pod.spec?.priority ?? 0) - (a.pod.spec?.priority ?? 0) || a.queuedAtMs - b.queuedAtMs,
};
