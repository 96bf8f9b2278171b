/** ServiceAccount tokens of pods, asked for once and renewed at 80 % of their life. Source: KEP-1205 */
import { authentication, core } from "@knarr/api/generated/resources.ts";
import type { TokenRequest } from "@knarr/api/generated/types/authentication-v1.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import type { Client } from "@knarr/client/client.ts";
import type { Clock } from "@knarr/daemon/clock.ts";

interface Entry {
  readonly token: Promise<{ readonly text: string; readonly renewAt: number; readonly expiresAt: number }>;
}

/** Whatever its life, a token is renewed once a day. */
const MAX_AGE_MS = 24 * 3600 * 1000;

export class TokenCache {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();

  constructor(client: Client, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  /** A valid token; an old one when it still holds and no new one can be had. */
  async token(pod: Pod, audience: string, expirationSeconds: number): Promise<string> {
    const key = `${pod.metadata.uid}/${audience}/${expirationSeconds}`;
    const old = await this.#entries.get(key)?.token.catch(() => undefined);
    const now = this.#clock.now();
    if (old !== undefined && now < old.renewAt) return old.text;
    const entry: Entry = { token: this.#request(pod, audience, expirationSeconds) };
    this.#entries.set(key, entry);
    try {
      return (await entry.token).text;
    } catch (error) {
      this.#entries.delete(key);
      if (old === undefined || now >= old.expiresAt) throw error;
      this.#entries.set(key, { token: Promise.resolve(old) });
      return old.text;
    }
  }

  forget(podUid: string): void {
    for (const key of this.#entries.keys()) if (key.startsWith(`${podUid}/`)) this.#entries.delete(key);
  }

  async #request(pod: Pod, audience: string, expirationSeconds: number) {
    const { name = "", namespace = "", uid = "" } = pod.metadata;
    const body: TokenRequest = {
      apiVersion: apiVersionOf(authentication.tokenreviews),
      kind: "TokenRequest",
      metadata: {},
      spec: {
        audiences: audience === "" ? [] : [audience],
        expirationSeconds,
        boundObjectRef: { apiVersion: "v1", kind: "Pod", name, uid },
      },
    };
    const account = { namespace, name: pod.spec?.serviceAccountName ?? "default" };
    const answer = await this.#client.createSubresource<TokenRequest>(core.serviceaccounts, account, "token", body);
    const now = this.#clock.now();
    const expiresAt = Date.parse(answer.status?.expirationTimestamp ?? "");
    const lifeMs = Number.isNaN(expiresAt) ? expirationSeconds * 1000 : expiresAt - now;
    return {
      text: answer.status?.token ?? "",
      renewAt: now + Math.min(0.8 * lifeMs, MAX_AGE_MS),
      expiresAt: now + lifeMs,
    };
  }
}
