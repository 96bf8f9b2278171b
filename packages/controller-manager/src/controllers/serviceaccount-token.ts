/**
 * Fills Secrets of type service-account-token with a lasting token, and removes them with their ServiceAccount.
 * Inputs: Secrets of that type, ServiceAccounts, --service-account-private-key-file, --root-ca-file. Writes: Secrets.
 * Source: kubernetes/pkg/controller/serviceaccount/tokens_controller.go
 */
import { readFile } from "node:fs/promises";
import { core } from "@knarr/api/generated/resources.ts";
import type { Secret, ServiceAccount } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString, parseKeyString } from "@knarr/apimachinery/resource.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { done, type Result } from "@knarr/controller/reconcile-loop.ts";
import { makeTokenSigner } from "../adapters/token-signer.ts";
import { type Controller, makeQueue, needs, runLoop } from "../controller-context.ts";
import { ACCOUNT_NAME, belongsTo, fillToken, legacyClaims, SERVICE_ACCOUNT_TOKEN } from "../core/token-plans.ts";

const BY_ACCOUNT = "account";

export const serviceAccountTokenController: Controller = {
  name: "serviceaccount-token-controller",
  aliases: ["serviceaccount-token"],
  // Upstream gives it the manager's own rights too: it must work before there are tokens.
  ownClient: true,
  start: async (context) => {
    const { client, config, informers } = context;
    if (config.serviceAccountPrivateKeyFile === "") return undefined;
    const signToken = makeTokenSigner(await readFile(config.serviceAccountPrivateKeyFile));
    const rootCa = config.rootCaFile === "" ? undefined : await readFile(config.rootCaFile, "utf8");
    const queue = makeQueue(context);
    const accountKeyOf = ({ metadata }: Secret) =>
      keyString({ namespace: metadata.namespace ?? "", name: metadata.annotations?.[ACCOUNT_NAME] ?? "" });
    const secrets = informers.informer(core.secrets, {
      fieldSelector: `type=${SERVICE_ACCOUNT_TOKEN}`,
      indexers: { [BY_ACCOUNT]: (secret) => [accountKeyOf(secret)] },
    });
    const accounts = informers.informer(core.serviceaccounts);
    secrets.subscribe({
      added: (secret) => queue.add(keyString(keyOf(secret))),
      updated: (_old, secret) => queue.add(keyString(keyOf(secret))),
    });
    const enqueueTokens = (account: ServiceAccount) => {
      for (const secret of secrets.byIndex(BY_ACCOUNT, keyString(keyOf(account)))) queue.add(keyString(keyOf(secret)));
    };
    accounts.subscribe({ added: enqueueTokens, deleted: enqueueTokens });
    /** A Secret is removed for good, so the server has the last word. */
    const findAccount = async (secret: Secret, signal: AbortSignal): Promise<ServiceAccount | undefined> => {
      const key = parseKeyString(accountKeyOf(secret));
      const cached = accounts.get(key);
      if (cached !== undefined && belongsTo(secret, cached)) return cached;
      try {
        const account = await client.get(core.serviceaccounts, key, { signal });
        return belongsTo(secret, account) ? account : undefined;
      } catch (error) {
        if (isNotFound(error)) return undefined;
        throw error;
      }
    };
    const reconcile = async (key: string, signal: AbortSignal): Promise<Result> => {
      const secret = secrets.get(parseKeyString(key));
      if (secret === undefined || secret.metadata.deletionTimestamp !== undefined) return done;
      const account = await findAccount(secret, signal);
      try {
        if (account === undefined) {
          const { uid, resourceVersion } = secret.metadata;
          await client.delete(core.secrets, keyOf(secret), { preconditions: { uid, resourceVersion }, signal });
          return done;
        }
        const makeToken = () => signToken(legacyClaims(secret, account));
        const next = fillToken(secret, account, { rootCa, makeToken });
        if (next !== undefined) await client.update(core.secrets, next, { signal });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
      return done;
    };
    const workers = config.concurrentServiceaccountTokenSyncs;
    return (signal) => runLoop(context, { queue, workers, needs: needs(secrets, accounts), reconcile }, signal);
  },
};
