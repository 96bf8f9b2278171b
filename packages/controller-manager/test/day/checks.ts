/** What must be true when the day is over: the cluster is what the manifests say, and nothing is left over. */
import assert from "node:assert/strict";
import { apps, batch, core } from "@knarr/api/generated/resources.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { controllerOf, type KubeObject } from "@knarr/apimachinery/object.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import type { Client } from "@knarr/client/client.ts";
import { listAll } from "@knarr/client/list-all.ts";

const isActive = ({ metadata, status }: Pod) =>
  metadata.deletionTimestamp === undefined && status?.phase !== "Succeeded" && status?.phase !== "Failed";
const imageOf = ({ spec }: { spec?: { containers: { image?: string | undefined }[] } | undefined }) =>
  spec?.containers[0]?.image;

/** Throws an AssertionError that names the first thing that isn't so (yet). */
export async function checkEnd(client: Client, namespace: string, nodes: number): Promise<void> {
  const all = async <T extends KubeObject>(ref: ResourceRef<T>) => (await listAll(client, ref, { namespace })).items;
  const [pods, sets, deployments] = [await all(core.pods), await all(apps.replicasets), await all(apps.deployments)];
  const [stateful, daemons, jobs] = [await all(apps.statefulsets), await all(apps.daemonsets), await all(batch.jobs)];
  const podsOf = (owner: KubeObject) => pods.filter((pod) => controllerOf(pod)?.uid === owner.metadata.uid);
  for (const deployment of deployments) {
    const { metadata, spec, status } = deployment;
    const name = `Deployment ${metadata.name}`;
    const replicas = spec?.replicas ?? 0;
    assert.equal(status?.observedGeneration, metadata.generation, `${name}: not looked at since its last change`);
    const counts = [status?.replicas ?? 0, status?.updatedReplicas ?? 0, status?.availableReplicas ?? 0];
    assert.deepEqual(counts, [replicas, replicas, replicas], `${name}: replicas, updated, available`);
    const own = sets.filter((set) => controllerOf(set)?.uid === metadata.uid);
    const running = own.filter((set) => (set.spec?.replicas ?? 0) > 0);
    assert.ok(running.length <= 1, `${name}: ${running.length} ReplicaSets are scaled up`);
    const members = own.flatMap((set) => podsOf(set));
    assert.equal(members.length, replicas, `${name}: pods`);
    const wanted = imageOf(spec?.template ?? {});
    for (const pod of members) assert.equal(imageOf(pod), wanted, `${name}: image of ${pod.metadata.name}`);
    const templates = own.map((set) => JSON.stringify(set.spec?.template?.spec));
    assert.equal(new Set(templates).size, templates.length, `${name}: two ReplicaSets of the same template`);
  }
  for (const set of stateful) {
    const names = podsOf(set)
      .map((pod) => pod.metadata.name)
      .sort();
    const wanted = Array.from({ length: set.spec?.replicas ?? 0 }, (_, i) => `${set.metadata.name}-${i}`).sort();
    assert.deepEqual(names, wanted, `StatefulSet ${set.metadata.name}: pods`);
    assert.equal(set.status?.readyReplicas ?? 0, wanted.length, `StatefulSet ${set.metadata.name}: ready`);
    const image = imageOf(set.spec?.template ?? {});
    for (const pod of podsOf(set)) assert.equal(imageOf(pod), image, `image of ${pod.metadata.name}`);
  }
  for (const set of daemons) {
    const places = podsOf(set)
      .filter(isActive)
      .map((pod) => pod.spec?.nodeName);
    assert.equal(new Set(places).size, places.length, `DaemonSet ${set.metadata.name}: two pods on one node`);
    assert.equal(places.length, nodes, `DaemonSet ${set.metadata.name}: pods`);
  }
  for (const job of jobs) {
    const name = `Job ${job.metadata.name}`;
    const complete = job.status?.conditions?.some(({ type, status }) => type === "Complete" && status === "True");
    assert.ok(complete === true, `${name} is not complete`);
    // At least once, as upstream: a pod is made again when the answer to its creation was cut off with the watch that would
    // have shown it, and pods that end at once do the work before the surplus is seen.
    const { completions = 0, parallelism = 0 } = job.spec ?? {};
    const succeeded = job.status?.succeeded ?? 0;
    assert.ok(succeeded >= completions && succeeded <= completions + parallelism, `${name}: ${succeeded} counted`);
    const ended = podsOf(job).filter(({ status }) => status?.phase === "Succeeded");
    assert.ok(ended.length <= completions + parallelism, `${name}: ${ended.length} pods did its work`);
    assert.ok(!podsOf(job).some(isActive), `${name}: a pod still runs`);
    assert.ok(!podsOf(job).some(({ metadata }) => metadata.finalizers?.length), `${name}: a pod is still held`);
  }
  const uids = new Set([...sets, ...deployments, ...stateful, ...daemons, ...jobs].map(({ metadata }) => metadata.uid));
  for (const object of [...pods, ...sets]) {
    const owner = controllerOf(object);
    assert.ok(owner !== undefined && uids.has(owner.uid), `${object.kind} ${object.metadata.name} is nobody's`);
  }
}
