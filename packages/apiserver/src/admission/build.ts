/** Makes the plugins that are in force from the flags and the AdmissionConfiguration. */
import { UsageError } from "@knarr/daemon/flags.ts";
import type { PluginConfigurations } from "./admission-configuration.ts";
import { notOffered, orderedPlugins, type PluginTools } from "./order.ts";
import type { AdmissionPlugin } from "./plugin.ts";

export interface PluginSelection {
  readonly enabled: readonly string[];
  readonly disabled: readonly string[];
}

/** Refuses names that no plugin has, and names that are in both lists. Throws UsageError naming the flag. */
export function checkPluginNames({ enabled, disabled }: PluginSelection): void {
  const known = orderedPlugins.map((plugin) => plugin.name);
  for (const [flag, names] of [
    ["enable-admission-plugins", enabled],
    ["disable-admission-plugins", disabled],
  ] as const) {
    // What is not here can be left out, but not had.
    const taken = flag === "disable-admission-plugins" ? [...known, ...notOffered] : known;
    const unknown = names.find((name) => !taken.includes(name));
    if (unknown !== undefined && notOffered.includes(unknown)) {
      throw new UsageError(`${flag} plugin ${JSON.stringify(unknown)} is not offered by this server`);
    }
    if (unknown !== undefined) {
      throw new UsageError(`${flag} plugin ${JSON.stringify(unknown)} is unknown; known are ${known.join(", ")}`);
    }
  }
  const both = enabled.find((name) => disabled.includes(name));
  if (both !== undefined) {
    throw new UsageError(
      `${JSON.stringify(both)} in enable-admission-plugins and disable-admission-plugins overlapped`,
    );
  }
}

/** The plugins in force, in their order. */
export function createPlugins(
  { enabled, disabled }: PluginSelection,
  configurations: PluginConfigurations,
  tools: PluginTools,
): AdmissionPlugin[] {
  return orderedPlugins
    .filter(({ name, defaultOn }) => (defaultOn || enabled.includes(name)) && !disabled.includes(name))
    .map(({ name, create }) => create(configurations.get(name), tools));
}
