/**
 * Signs ConfigMap kube-public/cluster-info with every bootstrap token, so that a new node can trust what it reads there.
 * Inputs: that ConfigMap, bootstrap tokens. Writes: the ConfigMap. Source: kubernetes/pkg/controller/bootstrap/bootstrapsigner.go
 */
import { core } from "@knarr/api/generated/resources.ts";
import { after, done, type Result } from "@knarr/controller/reconcile-loop.ts";
import { signDetached } from "../adapters/token-signer.ts";
import { type Controller, makeQueue, needs, runLoop } from "../controller-context.ts";
import { BOOTSTRAP_TOKEN, signClusterInfo, signingTokens, tokenLeftMs } from "../core/token-plans.ts";

const NAMESPACE = "kube-public";
const NAME = "cluster-info";

/** Timers end at 24 days; tokens may live for longer. */
const LOOK_AGAIN_MS = 12 * 3_600_000;

export const bootstrapSignerController: Controller = {
  name: "bootstrap-signer-controller",
  aliases: ["bootstrapsigner"],
  serviceAccount: "bootstrap-signer",
  offByDefault: true,
  start: async (context) => {
    const { client, clock, informers } = context;
    const queue = makeQueue(context);
    const secrets = informers.informer(core.secrets, {
      namespace: "kube-system",
      fieldSelector: `type=${BOOTSTRAP_TOKEN}`,
    });
    const infos = informers.informer(core.configmaps, {
      namespace: NAMESPACE,
      fieldSelector: `metadata.name=${NAME}`,
    });
    const sync = () => queue.add(NAME);
    infos.subscribe({ added: sync, updated: sync });
    secrets.subscribe({ added: sync, updated: sync, deleted: sync });
    const reconcile = async (_key: string, signal: AbortSignal): Promise<Result> => {
      const info = infos.get({ namespace: NAMESPACE, name: NAME });
      if (info === undefined) return done;
      const nowMs = clock.now();
      const next = signClusterInfo(info, signingTokens(secrets.list(), nowMs), signDetached);
      if (next !== undefined) await client.update(core.configmaps, next, { signal });
      const ends = secrets
        .list()
        .flatMap((secret) => tokenLeftMs(secret, nowMs) ?? [])
        .filter((ms) => ms > 0);
      return ends.length === 0 ? done : after(Math.min(...ends, LOOK_AGAIN_MS));
    };
    return (signal) => runLoop(context, { queue, workers: 1, needs: needs(secrets, infos), reconcile }, signal);
  },
};
