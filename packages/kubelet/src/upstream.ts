/** The kubelet's side of the API server: its client, what it watches there, where it reports, and what goes on for that. */
import { core } from "@knarr/api/generated/resources.ts";
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import type { Client } from "@knarr/client/client.ts";
import { EventRecorder } from "@knarr/client/event-recorder.ts";
import { Informer } from "@knarr/client/informer.ts";
import type { DaemonContext } from "@knarr/daemon/run-daemon.ts";
import type { Task } from "@knarr/daemon/run-group.ts";
import { ensureKubeconfig, nodeCertificates, type ServingCertificate } from "./certificates/node-certificates.ts";
import type { ClaimManager } from "./claims/claim-manager.ts";
import { makeDynamicResources } from "./claims/dynamic-resources.ts";
import type { Config } from "./config.ts";
import { CachedApiObjects } from "./pods/api-objects.ts";
import { isMirror, podInformer } from "./pods/api-source.ts";
import type { StaticPods } from "./pods/static-pods.ts";
import { StatusWriter } from "./pods/status-writer.ts";

/** Undefined when the kubelet runs on its own. */
export interface Upstream {
  readonly client: Client;
  readonly pods: Informer<Pod>;
  readonly node: Informer<Node>;
  readonly objects: CachedApiObjects;
  readonly status: StatusWriter;
  readonly events: EventRecorder;
  readonly certificate: ServingCertificate | undefined;
  readonly claims: ClaimManager;
  readonly tasks: Record<string, Task>;
}

export interface ConnectParts {
  readonly statics: StaticPods | undefined;
  readonly retry: (uid: string) => void;
  readonly addresses: () => readonly string[];
  /** Pods of which something may run; undefined while that is not known. */
  readonly live: () => ReadonlySet<string> | undefined;
}

/** Waits for the certificate of a node that is new. Throws when what an earlier run left can't be read. */
export async function connect(
  config: Config,
  daemon: DaemonContext,
  { statics, retry, addresses, live }: ConnectParts,
): Promise<Upstream> {
  const { clock, log, signal } = daemon;
  await ensureKubeconfig(config, daemon);
  const own = await nodeCertificates(config, daemon, addresses);
  const { client } = own;
  const pods = podInformer(client, config.nodeName, clock, log);
  const fieldSelector = `metadata.name=${config.nodeName}`;
  const node = new Informer(client, core.nodes, { fieldSelector, clock, log });
  const self = () => node.get({ namespace: "", name: config.nodeName });
  const services = new Informer(client, core.services, { clock, log });
  const status = new StatusWriter({
    client,
    clock,
    log,
    signal,
    apiPod: (pod) => {
      const found = pods.get(keyOf(pod));
      if (found === undefined) return undefined;
      const isStatic = statics?.list().some((s) => s.metadata.uid === pod.metadata.uid) === true;
      if (isStatic) return isMirror(found) ? found : undefined;
      return found.metadata.uid === pod.metadata.uid ? found : undefined;
    },
  });
  const { rootDir, nodeName } = config;
  const isRegistered = () => self() !== undefined;
  const dynamic = await makeDynamicResources({ rootDir, nodeName, client, isRegistered, live, clock, log });
  return {
    client,
    pods,
    node,
    status,
    claims: dynamic.claims,
    objects: new CachedApiObjects({ client, clock, log, signal, services, node: self, onChange: retry }),
    events: new EventRecorder({ client, component: "kubelet", host: config.nodeName, clock, log }),
    certificate: own.serving,
    tasks: {
      ...own.tasks,
      ...dynamic.tasks,
      nodeWatch: (s) => node.run(s),
      serviceWatch: (s) => services.run(s),
      podWatch: (s) => pods.run(s),
    },
  };
}

/** What the API shows of a pod changed; of a static pod it shows the mirror, whose status is the static pod's. */
export function reconcileStatus(status: StatusWriter, statics: StaticPods | undefined, seen: Pod): void {
  const { namespace, name } = keyOf(seen);
  const shown = isMirror(seen)
    ? statics?.list().find((s) => s.metadata.name === name && s.metadata.namespace === namespace)
    : seen;
  if (shown !== undefined) status.reconcile(shown);
}
