/**
 * ServiceAccount tokens of pods, asked for once and renewed at 80 % of their life. Source: KEP-1205
 *
 * A token's age counts from our question, on both clocks: the steady one, since the wall's may be set back or be another
 * than the server's, and the wall's, since the steady one stands still while the machine sleeps. A renewal too many does no
 * harm, so the clock that is ahead renews; a token that is thrown away while it holds does, so the steady one ends it.
 */
import { authentication, core } from "@knarr/api/generated/resources.ts";
import type { TokenRequest } from "@knarr/api/generated/types/authentication-v1.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import type { Client } from "@knarr/client/client.ts";
import type { Clock } from "@knarr/daemon/clock.ts";

interface Token {
  readonly text: string;
  readonly lifeMs: number;
  /** When it was asked for. */
  readonly since: Moment;
}

interface Moment {
  readonly now: number;
  readonly monotonicMs: number;
}

/** Whatever its life, a token is renewed once a day. */
const MAX_AGE_MS = 24 * 3600 * 1000;
const RENEW_AFTER = 0.8;
/** A pod's other work does not wait longer for a renewal while its token holds: an API server may stall. */
const RENEWAL_WAIT_MS = 1000;

export class TokenCache {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #tokens = new Map<string, Token>();
  readonly #requests = new Map<string, Promise<Token>>();

  constructor(client: Client, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  /** A valid token; an old one when it still holds and no new one can be had soon. */
  async token(pod: Pod, audience: string, expirationSeconds: number): Promise<string> {
    const key = `${pod.metadata.uid}/${audience}/${expirationSeconds}`;
    const old = this.#tokens.get(key);
    if (old !== undefined && !this.#isDue(old)) return old.text;
    const request = this.#requests.get(key) ?? this.#start(key, () => this.#request(pod, audience, expirationSeconds));
    if (old === undefined || this.#isOver(old)) return (await request).text;
    return await this.#soon(request, old);
  }

  forget(podUid: string): void {
    for (const known of [this.#tokens, this.#requests]) {
      for (const key of known.keys()) if (key.startsWith(`${podUid}/`)) known.delete(key);
    }
  }

  /** What is asked for already is not asked for again. */
  #start(key: string, ask: () => Promise<Token>): Promise<Token> {
    const request = ask().then((token) => {
      if (this.#requests.get(key) === request) this.#tokens.set(key, token);
      return token;
    });
    this.#requests.set(key, request);
    const done = () => {
      if (this.#requests.get(key) === request) this.#requests.delete(key);
    };
    request.then(done, done);
    return request;
  }

  /** The new token if it comes soon; its failure is no news while the old one holds, the next look asks again. */
  async #soon(request: Promise<Token>, old: Token): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<Token>();
    const cancel = this.#clock.setTimeout(() => resolve(old), RENEWAL_WAIT_MS);
    request.then(resolve, () => resolve(old));
    try {
      return (await promise).text;
    } finally {
      cancel();
    }
  }

  #moment(): Moment {
    return { now: this.#clock.now(), monotonicMs: this.#clock.monotonicMs() };
  }

  #isOver({ lifeMs, since }: Token): boolean {
    return this.#clock.monotonicMs() - since.monotonicMs >= lifeMs;
  }

  #isDue({ lifeMs, since }: Token): boolean {
    const { now, monotonicMs } = this.#moment();
    return Math.max(now - since.now, monotonicMs - since.monotonicMs) >= Math.min(RENEW_AFTER * lifeMs, MAX_AGE_MS);
  }

  async #request(pod: Pod, audience: string, expirationSeconds: number): Promise<Token> {
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
    const since = this.#moment();
    const answer = await this.#client.createSubresource<TokenRequest>(core.serviceaccounts, account, "token", body);
    // Not by its expirationTimestamp: that is the server's clock.
    const lifeMs = (answer.spec?.expirationSeconds ?? expirationSeconds) * 1000;
    return { text: answer.status?.token ?? "", lifeMs, since };
  }
}
