/**
 * A range of pod addresses for every node. Inputs: Nodes. Writes: Node spec.podCIDR and podCIDRs, Events.
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { Node } from "@knarr/api/generated/types/core-v1.ts";
import { after, done, type Result } from "@knarr/controller/reconcile-loop.ts";
import {
  type Controller,
  type ControllerContext,
  makeQueue,
  makeRecorder,
  needs,
  runLoop,
} from "../controller-context.ts";
import { CidrAllocator, formatCidr, parseCidr } from "../core/node-ipam-plan.ts";

/** When there is no free range: one may be released without an event that concerns the waiting node. */
const FULL_RETRY_MS = 30_000;

export const nodeIpamController: Controller = {
  name: "node-ipam-controller",
  aliases: ["nodeipam"],
  serviceAccount: "node-controller",
  start: async (context) => {
    const { config } = context;
    if (!config.allocateNodeCidrs) return undefined;
    const allocators = config.clusterCidr.split(",").map((text) => {
      const cidr = parseCidr(text.trim());
      const ipv4 = config.nodeCidrMaskSizeIpv4 === 0 ? config.nodeCidrMaskSize : config.nodeCidrMaskSizeIpv4;
      return new CidrAllocator(cidr, cidr.bits === 32 ? ipv4 : config.nodeCidrMaskSizeIpv6);
    });
    for (const text of config.serviceClusterIpRange.split(",").filter((one) => one !== "")) {
      for (const allocator of allocators) allocator.occupy(parseCidr(text.trim()));
    }
    return startNodeIpam(context, allocators);
  },
};

function startNodeIpam(
  context: ControllerContext,
  allocators: readonly CidrAllocator[],
): (signal: AbortSignal) => Promise<void> {
  const queue = makeQueue(context);
  const recorder = makeRecorder(context, "cidrAllocator");
  const nodes = context.informers.informer(core.nodes);
  /** Node name -> the ranges it holds, as recorded in the allocators. */
  const held = new Map<string, readonly string[]>();
  const record = (name: string, cidrs: readonly string[]) => {
    held.set(name, cidrs);
    for (const cidr of cidrs) for (const allocator of allocators) allocator.occupy(parseCidr(cidr));
  };
  nodes.subscribe({
    added: (node) => {
      const cidrs = cidrsOf(node);
      if (cidrs.length > 0) record(node.metadata.name ?? "", cidrs);
      queue.add(node.metadata.name ?? "");
    },
    updated: (_old, node) => queue.add(node.metadata.name ?? ""),
    deleted: ({ metadata }) => {
      const cidrs = held.get(metadata.name ?? "") ?? [];
      held.delete(metadata.name ?? "");
      for (const cidr of cidrs) for (const allocator of allocators) allocator.release(parseCidr(cidr));
    },
  });
  const reconcile = async (name: string, signal: AbortSignal): Promise<Result> => {
    const node = nodes.get({ namespace: "", name });
    if (node === undefined) return done;
    const present = cidrsOf(node);
    if (present.length > 0) {
      if (!held.has(name)) record(name, present);
      return done;
    }
    // What was allocated before but not written yet is used again.
    let cidrs = held.get(name);
    if (cidrs === undefined) {
      const allocated = allocators.map((allocator) => allocator.allocate());
      if (allocated.includes(undefined)) {
        for (const [i, cidr] of allocated.entries()) if (cidr !== undefined) allocators[i]?.release(cidr);
        recorder.event(node, "Normal", "CIDRNotAvailable", `Node ${name} status is now: CIDRNotAvailable`);
        context.log.warn({ node: name }, "no pod CIDR left for node");
        return after(FULL_RETRY_MS);
      }
      cidrs = allocated.filter((cidr) => cidr !== undefined).map(formatCidr);
      held.set(name, cidrs);
    }
    const body = {
      metadata: { uid: node.metadata.uid },
      spec: { podCIDR: cidrs[0], podCIDRs: cidrs },
    };
    await context.client.patch(core.nodes, { namespace: "", name }, { type: "strategic", body }, { signal });
    return done;
  };
  // One worker: allocation looks at what is free and takes it.
  return (signal) => runLoop(context, { queue, workers: 1, needs: needs(nodes), reconcile }, signal);
}

function cidrsOf({ spec }: Node): readonly string[] {
  if ((spec?.podCIDRs ?? []).length > 0) return spec?.podCIDRs ?? [];
  return (spec?.podCIDR ?? "") === "" ? [] : [spec?.podCIDR ?? ""];
}
