/**
 * image volumes: the files of an image. The runtime mounts them; here only is said which. The image is pulled when a
 * container that mounts it starts. Source: KEP-4639
 */
import type { VolumeKind } from "./volume.ts";

export const imageVolume: VolumeKind = {
  folder: "kubernetes.io~image",
  ownsData: false,
  matches: (volume) => volume.image !== undefined,
  async setUp(volume) {
    const { reference = "", pullPolicy } = volume.image ?? {};
    return { path: "", readOnly: true, image: { reference, pullPolicy } };
  },
};
