/**
 * What the kubelet's cgroups are called, by driver. Pure.
 *
 *   cgroupfs   /kubepods/burstable/podUID
 *   systemd    /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice, "-" in names being "_"
 *
 * Source: pkg/kubelet/cm/cgroup_manager_linux.go (ToSystemd), systemd.slice(5)
 */
import type { QosClass } from "./qos.ts";

export type CgroupDriver = "cgroupfs" | "systemd";

export class CgroupNames {
  readonly driver: CgroupDriver;
  readonly #root: readonly string[];

  constructor(driver: CgroupDriver, root: string) {
    this.driver = driver;
    this.#root = root.split("/").filter((part) => part !== "");
  }

  /** What all pods are below. */
  get base(): string {
    return this.#path(["kubepods"]);
  }

  /** The folder of a class; guaranteed pods lie in the base itself. */
  qos(qos: QosClass): string {
    return this.#path(this.#qosParts(qos));
  }

  pod(qos: QosClass, uid: string): string {
    return this.#path([...this.#qosParts(qos), `pod${uid}`]);
  }

  /** The pod that a group is of, by its folder's name; undefined when it is none's. */
  uidOf(folder: string): string | undefined {
    if (this.driver === "cgroupfs") return folder.startsWith("pod") ? folder.slice(3) : undefined;
    return /-pod([^-]+)\.slice$/.exec(folder)?.[1]?.replaceAll("_", "-");
  }

  /** A group's path as the runtime wants it: systemd knows a slice by its name alone. */
  parentOf(path: string): string {
    return this.driver === "systemd" ? path.slice(path.lastIndexOf("/") + 1) : path;
  }

  #qosParts(qos: QosClass): string[] {
    return qos === "Guaranteed" ? ["kubepods"] : ["kubepods", qos.toLowerCase()];
  }

  #path(parts: readonly string[]): string {
    const all = [...this.#root, ...parts];
    if (this.driver === "cgroupfs") return `/${all.join("/")}`;
    const escaped = all.map((part) => part.replaceAll("-", "_"));
    return `/${escaped.map((_, i) => `${escaped.slice(0, i + 1).join("-")}.slice`).join("/")}`;
  }
}
