/**
 * Links to container logs as older log collectors look for them, beside the folder of pods' logs:
 *
 *   /var/log/containers/POD_NAMESPACE_CONTAINER-ID.log -> /var/log/pods/NAMESPACE_POD_UID/CONTAINER/RESTARTS.log
 *
 * Source: pkg/kubelet/kuberuntime/legacy.go. Only links into our own folder are ever removed.
 */
import { mkdir, readdir, readlink, rm, symlink } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import type { RuntimeContainer } from "@knarr/cri/types.ts";
import { Annotations, Labels } from "../core/observed-pod.ts";

/** Names longer than a file's may be are cut before the id. */
const MAX_NAME = 255;

export function logLinkDirectory(podLogDir: string): string {
  return join(dirname(podLogDir), "containers");
}

/** The link of one container: its name and where it leads. Pure. */
export function logLink(container: RuntimeContainer, podLogDir: string): { name: string; target: string } | undefined {
  const { labels, annotations, id } = container;
  const [pod, namespace, uid] = [labels[Labels.podName], labels[Labels.podNamespace], labels[Labels.podUid]];
  const name = labels[Labels.containerName];
  if (pod === undefined || namespace === undefined || uid === undefined || name === undefined) return undefined;
  const suffix = `-${id}.log`;
  const prefix = `${pod}_${namespace}_${name}`.slice(0, MAX_NAME - suffix.length);
  const restarts = annotations[Annotations.restartCount] ?? container.attempt;
  return { name: `${prefix}${suffix}`, target: join(podLogDir, `${namespace}_${pod}_${uid}`, name, `${restarts}.log`) };
}

/** Makes the links of the containers that are there and removes those of containers that are gone. Idempotent. */
export async function syncLogLinks(containers: readonly RuntimeContainer[], podLogDir: string): Promise<void> {
  const directory = logLinkDirectory(podLogDir);
  await mkdir(directory, { recursive: true });
  const wanted = new Map(
    containers.flatMap((c) => {
      const link = c.state === "created" ? undefined : logLink(c, podLogDir);
      return link === undefined ? [] : [[link.name, link.target] as const];
    }),
  );
  const present = new Set(await readdir(directory));
  for (const name of present) {
    if (wanted.has(name)) continue;
    const target = await readlink(join(directory, name)).catch(() => "");
    if (target.startsWith(podLogDir + sep)) await rm(join(directory, name), { force: true });
  }
  for (const [name, target] of wanted) {
    if (present.has(name)) continue;
    await symlink(target, join(directory, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  }
}
