/** NodeName: a pod that names its node fits no other. Source: plugins/nodename */
import { type Plugin, skip, unresolvable } from "../core/framework.ts";

const name = "NodeName";
const refusal = unresolvable(name, "node(s) didn't match the requested node name");

export const nodeName = (): Plugin => ({
  name,
  events: ["Node/Add"],
  preFilter: (_state, { pod }) => ((pod.spec?.nodeName ?? "") === "" ? { status: skip(name) } : undefined),
  filter: (_state, { pod }, node) => {
    const wanted = pod.spec?.nodeName ?? "";
    return wanted === "" || wanted === node.name ? undefined : refusal;
  },
});
