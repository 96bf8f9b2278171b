/** A CNI network as its configuration file describes it, read from the configuration folder. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

export interface PluginConfig {
  readonly type: string;
  readonly capabilities?: Readonly<Record<string, boolean>>;
  readonly [key: string]: unknown;
}

export interface NetworkConfig {
  readonly name: string;
  readonly cniVersion: string;
  readonly disableCheck: boolean;
  readonly plugins: readonly PluginConfig[];
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A list of plugins, or the older form of one plugin alone. Throws an Error that says what is wrong. */
export function parseNetworkConfig(text: string): NetworkConfig {
  const value: unknown = JSON.parse(text);
  if (!isObject(value)) throw new Error("a network configuration must be an object");
  const { name, cniVersion = "0.1.0", disableCheck, plugins = [value] } = value;
  if (typeof name !== "string" || name === "") throw new Error("missing network name");
  if (typeof cniVersion !== "string") throw new Error("cniVersion must be a string");
  if (!Array.isArray(plugins) || plugins.length === 0) throw new Error("missing plugins");
  for (const plugin of plugins as unknown[]) {
    if (!isObject(plugin) || typeof plugin.type !== "string" || plugin.type === "")
      throw new Error("missing plugin type");
    // Source: CNI 1.0, "the plugin's name is looked up in a list of folders": a path would leave them.
    if (/[/\\]/.test(plugin.type)) throw new Error(`invalid plugin type ${JSON.stringify(plugin.type)}`);
  }
  return { name, cniVersion, disableCheck: disableCheck === true, plugins: plugins as PluginConfig[] };
}

const EXTENSIONS = /\.(conflist|conf|json)$/;

/**
 * The first file of the folder, by name, that is a network; undefined when there is none. Files that are none are skipped,
 * as other runtimes do: half-written ones become whole.
 */
export async function loadNetwork(directory: string): Promise<NetworkConfig | undefined> {
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  for (const name of names.filter((n) => EXTENSIONS.test(n)).toSorted()) {
    try {
      return parseNetworkConfig(await readFile(join(directory, name), "utf8"));
    } catch {
      // Not a network (yet): the next file may be one.
    }
  }
  return undefined;
}
