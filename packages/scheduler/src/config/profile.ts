/**
 * A profile of the configuration -> its plugins at each extension point.
 *
 * `multiPoint` (the default plugins, plus and minus what the profile says) stands for every extension point that a plugin
 * has. At one point, plugins named there come first if multiPoint has them too, then multiPoint's, then the other named ones;
 * `disabled` takes plugins away, "*" all that multiPoint would bring.
 * Source: pkg/scheduler/framework/runtime/framework.go (expandMultiPointPlugins), apis/config/v1/default_plugins.go (mergePlugins)
 */
import { UsageError } from "@knarr/daemon/flags.ts";
import type { Framework, Plugin, With } from "../core/framework.ts";
import { PLUGINS } from "../plugins/index.ts";
import type { PluginHandle } from "../plugins/plugin-handle.ts";

/** Upstream's names, and the method that makes a plugin take part. */
const METHODS = {
  preEnqueue: ["preEnqueue"],
  queueSort: ["compare"],
  preFilter: ["preFilter"],
  filter: ["filter"],
  postFilter: ["postFilter"],
  preScore: ["preScore"],
  score: ["score"],
  reserve: ["reserve", "unreserve"],
  permit: ["permit"],
  preBind: ["preBind"],
  bind: ["bind"],
  postBind: ["postBind"],
} as const satisfies Record<string, readonly (keyof Plugin)[]>;
type Point = keyof typeof METHODS;
export const EXTENSION_POINTS = Object.keys(METHODS) as readonly Point[];

export interface PluginSet {
  readonly enabled?: readonly { readonly name: string; readonly weight?: number }[];
  readonly disabled?: readonly { readonly name: string }[];
}
export interface ProfileConfig {
  readonly schedulerName: string;
  readonly percentageOfNodesToScore?: number | undefined;
  readonly plugins: Readonly<Record<string, PluginSet | undefined>>;
  /** With defaults, for every plugin. */
  readonly args: ReadonlyMap<string, Readonly<Record<string, unknown>>>;
}
interface Enabled {
  readonly name: string;
  readonly weight: number;
}

/** Default plugins, minus the disabled, with the enabled: replaced where they stand, else at the end. */
function multiPointPlugins(set: PluginSet | undefined): Enabled[] {
  const disabled = new Set((set?.disabled ?? []).map(({ name }) => name));
  const defaults = disabled.has("*") ? [] : PLUGINS.filter(({ name }) => !disabled.has(name));
  const plugins = new Map(defaults.map(({ name, weight }) => [name, { name, weight }]));
  for (const { name, weight = 0 } of set?.enabled ?? []) plugins.set(name, { name, weight });
  return [...plugins.values()];
}

function pluginsAt(point: Point, profile: ProfileConfig, has: (name: string, point: Point) => boolean): Enabled[] {
  const set = profile.plugins[point];
  const disabled = new Set((set?.disabled ?? []).map(({ name }) => name));
  const named = (set?.enabled ?? []).map(({ name, weight = 0 }) => ({ name, weight }));
  const multi = disabled.has("*")
    ? []
    : multiPointPlugins(profile.plugins.multiPoint).filter(({ name }) => has(name, point) && !disabled.has(name));
  const inMulti = new Set(multi.map(({ name }) => name));
  const isNamed = new Set(named.map(({ name }) => name));
  return [
    ...named.filter(({ name }) => inMulti.has(name)),
    ...multi.filter(({ name }) => !isNamed.has(name)),
    ...named.filter(({ name }) => !inMulti.has(name)),
  ];
}

/** Throws a UsageError when the profile can't work. */
export function buildFramework(profile: ProfileConfig, handle: PluginHandle): Framework {
  const made = new Map<string, Plugin>();
  const holder: { framework?: Framework } = {};
  const whole = () => {
    if (holder.framework === undefined) throw new Error("a plugin asked for its profile before it was complete");
    return holder.framework;
  };
  for (const { name, make } of PLUGINS) made.set(name, make(profile.args.get(name) ?? {}, handle, whole));
  const has = (name: string, point: Point) => METHODS[point].some((method) => made.get(name)?.[method] !== undefined);
  const used = new Map<string, Plugin>();
  const at = (point: Point) =>
    pluginsAt(point, profile, has).map(({ name, weight }) => {
      const plugin = made.get(name);
      if (plugin === undefined || !has(name, point)) {
        throw new UsageError(`profile ${profile.schedulerName}: plugin ${name} does not extend ${point} plugin`);
      }
      used.set(name, plugin);
      return { plugin, weight: weight === 0 ? 1 : weight };
    });
  // `has` has made sure of the method.
  const listed = <K extends keyof Plugin>(point: Point) => at(point).map(({ plugin }) => plugin as With<K>);
  const [queueSort, ...others] = listed<"compare">("queueSort");
  if (queueSort === undefined) {
    throw new UsageError(`profile ${profile.schedulerName}: no queue sort plugin is enabled`);
  }
  if (others.length > 0) {
    throw new UsageError(`profile ${profile.schedulerName}: only one queue sort plugin can be enabled`);
  }
  const framework: Framework = {
    profileName: profile.schedulerName,
    percentageOfNodesToScore: profile.percentageOfNodesToScore,
    queueSort,
    preEnqueue: listed<"preEnqueue">("preEnqueue"),
    preFilter: listed<"preFilter">("preFilter"),
    filter: listed<"filter">("filter"),
    postFilter: listed<"postFilter">("postFilter"),
    preScore: listed<"preScore">("preScore"),
    score: at("score").map(({ plugin, weight }) => ({ plugin: plugin as With<"score">, weight })),
    reserve: at("reserve").map(({ plugin }) => plugin),
    permit: listed<"permit">("permit"),
    preBind: listed<"preBind">("preBind"),
    bind: listed<"bind">("bind"),
    postBind: listed<"postBind">("postBind"),
    plugins: used,
  };
  if (framework.bind.length === 0) {
    throw new UsageError(`profile ${profile.schedulerName}: at least one bind plugin is needed`);
  }
  holder.framework = framework;
  return framework;
}
