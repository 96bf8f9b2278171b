/**
 * The ServiceAccount `default` in every namespace. Inputs: Namespaces, ServiceAccounts. Writes: ServiceAccounts.
 */
import { core } from "@knarr/api/generated/resources.ts";
import { isAlreadyExists } from "@knarr/apimachinery/status-error.ts";
import { done, type Result } from "@knarr/controller/reconcile-loop.ts";
import { type Controller, makeQueue, needs, runLoop } from "../controller-context.ts";
import { isNamespaceTerminating } from "./pod-control.ts";

const DEFAULT = "default";

export const serviceaccountController: Controller = {
  name: "serviceaccount-controller",
  aliases: ["serviceaccount"],
  serviceAccount: "service-account-controller",
  start: async (context) => {
    const queue = makeQueue(context);
    const namespaces = context.informers.informer(core.namespaces);
    const accounts = context.informers.informer(core.serviceaccounts);
    namespaces.subscribe({
      added: ({ metadata }) => queue.add(metadata.name ?? ""),
      updated: (_old, { metadata }) => queue.add(metadata.name ?? ""),
    });
    accounts.subscribe({
      deleted: ({ metadata }) => {
        if (metadata.name === DEFAULT) queue.add(metadata.namespace ?? "");
      },
    });
    const reconcile = async (name: string, signal: AbortSignal): Promise<Result> => {
      const namespace = namespaces.get({ namespace: "", name });
      if (namespace === undefined || namespace.status?.phase === "Terminating") return done;
      if (accounts.get({ namespace: name, name: DEFAULT }) !== undefined) return done;
      const account = { apiVersion: "v1", kind: "ServiceAccount", metadata: { namespace: name, name: DEFAULT } };
      try {
        await context.client.create(core.serviceaccounts, account, { signal });
      } catch (error) {
        if (!isAlreadyExists(error) && !isNamespaceTerminating(error)) throw error;
      }
      return done;
    };
    return (signal) => runLoop(context, { queue, workers: 1, needs: needs(namespaces, accounts), reconcile }, signal);
  },
};
