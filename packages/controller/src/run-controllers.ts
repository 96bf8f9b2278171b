/**
 * Which controllers run, and running them together. Source: kube-controller-manager's --controllers
 */
import { runGroup } from "@knarr/daemon/run-group.ts";

export interface ControllerDescriptor<Context> {
  /** Upstream's name: "deployment-controller". */
  readonly name: string;
  /** Names of earlier versions: "deployment". */
  readonly aliases?: readonly string[];
  /** Runs only when named. */
  readonly offByDefault?: boolean;
  /** Sets the controller up (informers, subscriptions) and returns its loop; undefined when it has nothing to do here. */
  readonly start: (context: Context) => Promise<((signal: AbortSignal) => Promise<void>) | undefined>;
}

/**
 * Reads `--controllers`: "foo" on, "-foo" off, "*" all that are on by default; the first word that fits counts. Returns
 * the descriptors to run, in their order; throws RangeError naming what is unknown. `absent` are names that are known
 * although there is no such controller here.
 */
export function selectControllers<D extends Omit<ControllerDescriptor<never>, "start">>(
  descriptors: readonly D[],
  words: readonly string[],
  absent: readonly string[] = [],
): readonly D[] {
  const canonical = new Map(descriptors.flatMap((d) => [d.name, ...(d.aliases ?? [])].map((name) => [name, d.name])));
  const known = words.map((word) => {
    if (word === "*" || absent.includes(word.replace(/^-/, ""))) return word;
    const off = word.startsWith("-");
    const name = canonical.get(off ? word.slice(1) : word);
    if (name === undefined)
      throw new RangeError(`"${off ? word.slice(1) : word}" is not in the list of known controllers`);
    return off ? `-${name}` : name;
  });
  return descriptors.filter(({ name, offByDefault }) => {
    for (const word of known) {
      if (word === name) return true;
      if (word === `-${name}`) return false;
    }
    return known.includes("*") && offByDefault !== true;
  });
}

/** Starts each controller and runs all until the signal aborts; one that fails stops the others. */
export async function runControllers<C, D extends ControllerDescriptor<C>>(
  descriptors: readonly D[],
  contextFor: (descriptor: D) => C,
  signal: AbortSignal,
): Promise<void> {
  const tasks: Record<string, (signal: AbortSignal) => Promise<void>> = {};
  for (const descriptor of descriptors) {
    const task = await descriptor.start(contextFor(descriptor));
    if (task !== undefined) tasks[descriptor.name] = task;
  }
  await runGroup(signal, tasks);
}
