/**
 * A service that is asked by POST of a review, as a kubeconfig file names it: the cluster is the service, the user is us.
 * Tries again a few times when it can't be reached or answers with a server error.
 * Source: k8s.io/apiserver/pkg/util/webhook
 */
import { StatusError } from "@knarr/apimachinery/status-error.ts";
import { Client } from "@knarr/client/client.ts";
import { loadKubeconfig } from "@knarr/client/kubeconfig.ts";
import type { Clock } from "@knarr/daemon/clock.ts";

export interface Webhook {
  /** Sends the review and gives back the answered one. Throws an Error when there is no answer. */
  post<T>(review: T): Promise<T>;
}

export interface WebhookOptions {
  readonly clock: Clock;
  readonly timeoutMs?: number;
  /** Of the kubeconfig; its current one when absent. */
  readonly context?: string;
}

const ATTEMPTS = 4;
const FIRST_WAIT_MS = 500;
const DEFAULT_TIMEOUT_MS = 30_000;

/** Reads the kubeconfig; throws an Error naming the file. */
export function connectWebhook(
  path: string,
  { clock, context, timeoutMs = DEFAULT_TIMEOUT_MS }: WebhookOptions,
): Webhook {
  const config = loadKubeconfig({ path, ...(context === undefined ? {} : { context }) });
  const url = new URL(config.server);
  const client = new Client({ ...config, server: url.origin }, { clock });
  return {
    async post<T>(review: T): Promise<T> {
      const body = JSON.stringify(review);
      const signal = AbortSignal.timeout(timeoutMs);
      let waitMs = FIRST_WAIT_MS;
      for (let attempt = 1; ; attempt += 1) {
        try {
          const { body: answer } = await client.request({
            method: "POST",
            path: `${url.pathname}${url.search}`,
            headers: { "content-type": "application/json", accept: "application/json" },
            body,
            signal,
          });
          return JSON.parse(answer.toString()) as T;
        } catch (error) {
          const isFinal = error instanceof SyntaxError || (error instanceof StatusError && error.code < 500);
          if (isFinal || attempt >= ATTEMPTS || signal.aborted) throw error;
          await clock.sleep(waitMs, signal);
          waitMs *= 1.5;
        }
      }
    },
  };
}
