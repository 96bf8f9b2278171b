/**
 * ImageLocality: nodes that have the pod's images already, spread over the nodes that have them.
 * Source: plugins/imagelocality
 */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Snapshot } from "../core/cache.ts";
import { MAX_NODE_SCORE, type Plugin, skip } from "../core/framework.ts";

const name = "ImageLocality";
const MEBIBYTE = 1024 * 1024;
/** Less than this in total is not worth a preference. */
const MIN_BYTES = 23 * MEBIBYTE;
const MAX_CONTAINER_BYTES = 1000 * MEBIBYTE;

interface State {
  readonly images: readonly { readonly name: string; readonly spread: number }[];
  readonly count: number;
}

export const imageLocality = (): Plugin => ({
  name,
  preScore(state, { pod }, _nodes, snapshot) {
    const images = imagesOf(pod);
    const present = images.flatMap((image) => presence(image, snapshot));
    // Differs from upstream: skipped when no node has any of the images, because all scores would be 0.
    if (present.length === 0) return skip(name);
    state.write(name, { images: present, count: images.length } satisfies State);
    return undefined;
  },
  score(state, _pod, node) {
    const { images, count } = state.read<State>(name);
    let bytes = 0;
    for (const image of images) bytes += Math.floor((node.images.get(image.name) ?? 0) * image.spread);
    const most = MAX_CONTAINER_BYTES * count;
    const bounded = Math.min(Math.max(bytes, MIN_BYTES), most);
    return Math.floor((MAX_NODE_SCORE * (bounded - MIN_BYTES)) / (most - MIN_BYTES));
  },
});

function presence(image: string, snapshot: Snapshot): { name: string; spread: number }[] {
  const nodes = snapshot.nodesWithImage(image);
  return nodes === 0 ? [] : [{ name: image, spread: nodes / snapshot.nodes.length }];
}

function imagesOf(pod: Pod): string[] {
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  const volumes = (pod.spec?.volumes ?? []).flatMap(({ image }) =>
    image?.reference === undefined ? [] : [image.reference],
  );
  return [...containers.map(({ image }) => image ?? ""), ...volumes].map(withTag);
}

/** The name under which nodes report an image without a tag: "nginx" is "nginx:latest". */
function withTag(image: string): string {
  return image.lastIndexOf(":") > image.lastIndexOf("/") ? image : `${image}:latest`;
}
