/** csi volumes: drivers can't register with this kubelet yet, and a pod that asks for one is told so as upstream tells it. */
import type { PersistentKind } from "./persistent-kinds.ts";
import { VolumeError, type VolumeKind } from "./volume.ts";

const FOLDER = "kubernetes.io~csi";
const unknownDriver = (name: string) => `driver name ${name} not found in the list of registered CSI drivers`;

/** A driver's volume written into the pod itself. */
export const csiVolume: VolumeKind = {
  folder: FOLDER,
  ownsData: false,
  matches: (volume) => volume.csi !== undefined,
  async setUp(volume) {
    const driver = unknownDriver(volume.csi?.driver ?? "");
    throw new VolumeError(`kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: ${driver}`);
  },
};

export const csiPersistent: PersistentKind = {
  folder: FOLDER,
  takesMountOptions: true,
  matches: ({ spec }) => spec?.csi !== undefined,
  async setUp({ spec }) {
    const driver = unknownDriver(spec?.csi?.driver ?? "");
    const message = `kubernetes.io/csi: attacher.MountDevice failed to create newCsiDriverClient: ${driver}`;
    throw new VolumeError(message, { stage: "MountVolume.MountDevice failed" });
  },
};
