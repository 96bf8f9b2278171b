/** A scheduler's decision as text: what came out, why not elsewhere, and the table of nodes. Pure. */
import { renderTable } from "./table.ts";

/** What the scheduler serves. */
export interface PodDecision {
  readonly decision?: {
    readonly namespace: string;
    readonly pod: string;
    readonly profile: string;
    readonly result: string;
    readonly at: string;
    readonly attempt: number;
    readonly chosenNode?: string;
    readonly nominatedNode?: string;
    readonly victims?: readonly string[];
    readonly message?: string;
    readonly totalNodes: number;
    readonly evaluatedNodes: number;
    readonly feasibleNodes: number;
    readonly nodes: readonly NodeVerdict[];
    readonly truncated: boolean;
  };
  readonly queue?: { readonly queue: string; readonly attempts: number; readonly refusedBy: readonly string[] };
}
interface NodeVerdict {
  readonly node: string;
  readonly refusedBy?: { readonly plugin: string; readonly reasons: readonly string[] };
  readonly scores?: readonly {
    readonly plugin: string;
    readonly weight: number;
    readonly raw: number;
    readonly normalized: number;
    readonly weighted: number;
  }[];
  readonly total?: number;
}

export function renderDecision(
  { decision, queue }: PodDecision,
  nowMs: number,
  humanDuration: (ms: number) => string,
): string {
  const lines: string[] = [];
  if (decision === undefined) lines.push("Not looked at yet.");
  else {
    const age = humanDuration(Math.max(0, nowMs - Date.parse(decision.at)));
    const where = decision.chosenNode === undefined ? "" : ` on ${decision.chosenNode}`;
    lines.push(
      `Pod ${decision.namespace}/${decision.pod}: ${decision.result}${where} ` +
        `(${decision.profile}, attempt ${decision.attempt}, ${age} ago)`,
    );
    if (decision.message !== undefined) lines.push(decision.message);
    if (decision.nominatedNode !== undefined) {
      lines.push(`${decision.nominatedNode} is being made free: ${(decision.victims ?? []).join(", ")} must go.`);
    }
  }
  if (queue !== undefined) {
    const by = queue.refusedBy.length === 0 ? "" : `, waits for news that ${queue.refusedBy.join(", ")} care for`;
    lines.push(`In queue: ${queue.queue}, ${queue.attempts} attempts so far${by}`);
  }
  if (decision === undefined || decision.totalNodes === 0) return `${lines.join("\n")}\n`;
  lines.push(
    `${decision.totalNodes} nodes: ${decision.evaluatedNodes} looked at, ${decision.feasibleNodes} could take the pod`,
  );
  const cut = decision.truncated ? "Only some of the nodes are still known: the decision is an old one.\n" : "";
  return `${lines.join("\n")}\n\n${renderNodes(decision.nodes)}${cut}`;
}

/** Scores are "weighted (raw -> normalised x weight)". */
function renderNodes(nodes: readonly NodeVerdict[]): string {
  const plugins = [...new Set(nodes.flatMap(({ scores }) => (scores ?? []).map(({ plugin }) => plugin)))];
  const rows = nodes.map(({ node, refusedBy, scores, total }) => [
    node,
    total === undefined ? "-" : String(total),
    ...plugins.map((plugin) => {
      const score = scores?.find((each) => each.plugin === plugin);
      if (score === undefined) return "-";
      return `${score.weighted} (${score.raw} -> ${score.normalized} x${score.weight})`;
    }),
    refusedBy === undefined ? "" : `${refusedBy.plugin}: ${refusedBy.reasons.join(", ")}`,
  ]);
  return renderTable(rows, { headings: ["NODE", "TOTAL", ...plugins.map((p) => p.toUpperCase()), "REFUSED BY"] });
}
