/**
 * How long kubelets may believe their cached Secrets and ConfigMaps: longer the more nodes there are. Pure.
 * The bounds overlap, so that a cluster around one of them doesn't rewrite all its nodes back and forth.
 * Source: kubernetes/pkg/controller/ttl/ttl_controller.go
 */
export const TTL_ANNOTATION = "node.alpha.kubernetes.io/ttl";

const STEPS = [
  { from: 0, to: 100, seconds: 0 },
  { from: 90, to: 500, seconds: 15 },
  { from: 450, to: 1000, seconds: 30 },
  { from: 900, to: 2000, seconds: 60 },
  { from: 1800, to: 10_000, seconds: 300 },
  { from: 9000, to: Number.POSITIVE_INFINITY, seconds: 600 },
] as const;

/** The step to be in with `nodes` nodes, coming from step `current`. */
export function ttlStep(nodes: number, current: number): number {
  let step = current;
  while (nodes > (STEPS[step]?.to ?? Number.POSITIVE_INFINITY)) step++;
  while (step > 0 && nodes < (STEPS[step]?.from ?? 0)) step--;
  return step;
}

export function ttlSeconds(step: number): number {
  return STEPS[step]?.seconds ?? 0;
}
