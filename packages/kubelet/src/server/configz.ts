/**
 * GET /configz: the configuration in effect, as a KubeletConfiguration would say it. Pure.
 * Source: k8s.io/kubelet/config/v1beta1; k8s.io/component-base/configz
 */
import { formatDuration } from "@knarr/apimachinery/duration.ts";
import { type Config, FILE_FIELDS } from "../config.ts";

type Tree = { [key: string]: unknown };

export function configz(config: Config): object {
  const root: Tree = {};
  for (const [path, key] of Object.entries(FILE_FIELDS)) {
    const parts = path.split(".");
    const last = parts.pop() ?? path;
    let node = root;
    for (const part of parts) {
      node[part] ??= {};
      node = node[part] as Tree;
    }
    const value = config[key];
    node[last] = key.endsWith("Ms") ? formatDuration(BigInt(Math.round((value as number) * 1e6))) : value;
  }
  return { kubeletconfig: root };
}
