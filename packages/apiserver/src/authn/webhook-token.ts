/**
 * Asks another service about bearer tokens (--authentication-token-webhook-config-file), and remembers its answers for a
 * while. What it said of a token is kept by the token's digest: the token itself stays nowhere.
 * Source: docs reference/access-authn-authz/authentication#webhook-token-authentication;
 * k8s.io/apiserver/plugin/pkg/authenticator/token/webhook
 */
import { createHash } from "node:crypto";
import type { TokenReview } from "@knarr/api/generated/types/authentication-v1.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Webhook } from "../webhook-client.ts";
import { type Authentication, AuthenticationError, type TokenAuthenticator } from "./types.ts";

export interface WebhookTokenOptions {
  readonly webhook: Webhook;
  /** Of the TokenReview that is sent. */
  readonly version: "v1" | "v1beta1";
  readonly cacheTtlMs: number;
  /** What tokens must be meant for, unless the question names its own. */
  readonly audiences: readonly string[];
  readonly clock: Clock;
}

interface Remembered {
  readonly untilMs: number;
  readonly answer: Authentication | AuthenticationError | undefined;
}

const MAX_REMEMBERED = 4_096;

export class WebhookTokenAuthenticator implements TokenAuthenticator {
  readonly #options: WebhookTokenOptions;
  readonly #remembered = new Map<string, Remembered>();

  constructor(options: WebhookTokenOptions) {
    this.#options = options;
  }

  async authenticateToken(token: string, audiences: readonly string[]): Promise<Authentication | undefined> {
    const { clock, cacheTtlMs } = this.#options;
    const wanted = audiences.length === 0 ? this.#options.audiences : audiences;
    const key = createHash("sha256")
      .update(JSON.stringify([token, wanted]))
      .digest("base64");
    const nowMs = clock.monotonicMs();
    const known = this.#remembered.get(key);
    if (known !== undefined && known.untilMs > nowMs) return given(known.answer);
    const answer = await this.#ask(token, wanted);
    if (this.#remembered.size >= MAX_REMEMBERED) this.#remembered.clear();
    if (cacheTtlMs > 0) this.#remembered.set(key, { untilMs: nowMs + cacheTtlMs, answer });
    return given(answer);
  }

  /** Throws AuthenticationError, unremembered, when the webhook can't be asked. */
  async #ask(token: string, wanted: readonly string[]): Promise<Remembered["answer"]> {
    const { webhook, version } = this.#options;
    let review: TokenReview;
    try {
      review = await webhook.post<TokenReview>({
        kind: "TokenReview",
        apiVersion: `authentication.k8s.io/${version}`,
        metadata: {},
        spec: { token, audiences: [...wanted] },
      });
    } catch (error) {
      throw new AuthenticationError(
        `the token webhook failed: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
    const { status } = review;
    if (status?.authenticated !== true) {
      return status?.error === undefined || status.error === "" ? undefined : new AuthenticationError(status.error);
    }
    const { username = "", uid = "", groups = [], extra = {} } = status.user ?? {};
    // A webhook that says nothing of audiences speaks of this server only.
    const accepted = (status.audiences ?? this.#options.audiences).filter((one) => wanted.includes(one));
    if (wanted.length > 0 && accepted.length === 0) return undefined;
    return { user: Object.freeze({ name: username, uid, groups: [...groups], extra }), audiences: accepted };
  }
}

function given(answer: Remembered["answer"]): Authentication | undefined {
  if (answer instanceof AuthenticationError) throw answer;
  return answer;
}
