/**
 * Asks another service who may do what (SubjectAccessReview by POST), and remembers its answers for a while.
 * Source: docs reference/access-authn-authz/webhook; k8s.io/apiserver/plugin/pkg/authorizer/webhook
 */
import type { SubjectAccessReview, SubjectAccessReviewSpec } from "@knarr/api/generated/types/authorization-v1.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Webhook } from "../webhook-client.ts";
import type {
  Authorizer,
  AuthorizerAttributes,
  Decision,
  RuleResolver,
  SelectorRequirement,
  UserRules,
} from "./types.ts";

export interface WebhookAuthorizerOptions {
  readonly webhook: Webhook;
  /** Of the SubjectAccessReview that is sent. */
  readonly version: "v1" | "v1beta1";
  /** How long a yes, and how long a no, is remembered. */
  readonly authorizedTtlMs: number;
  readonly unauthorizedTtlMs: number;
  /** What holds when the service can't be asked. */
  readonly onFailure: "no-opinion" | "denied";
  readonly clock: Clock;
}

const MAX_REMEMBERED = 8_192;
/** Questions of this size come from somebody who wants the cache to be full. Source: maxControlledAttrCacheSize */
const MAX_REMEMBERED_BYTES = 10_000;

export class WebhookAuthorizer implements Authorizer, RuleResolver {
  readonly #options: WebhookAuthorizerOptions;
  readonly #remembered = new Map<string, { readonly untilMs: number; readonly decision: Decision }>();

  constructor(options: WebhookAuthorizerOptions) {
    this.#options = options;
  }

  async authorize(attributes: AuthorizerAttributes): Promise<Decision> {
    const { clock, authorizedTtlMs, unauthorizedTtlMs } = this.#options;
    const spec = specOf(attributes);
    const key = JSON.stringify(spec);
    const nowMs = clock.monotonicMs();
    const known = this.#remembered.get(key);
    if (known !== undefined && known.untilMs > nowMs) return known.decision;
    const decision = await this.#ask(spec);
    if (decision.evaluationError !== undefined || key.length > MAX_REMEMBERED_BYTES) return decision;
    const ttlMs = decision.verdict === "allowed" ? authorizedTtlMs : unauthorizedTtlMs;
    if (this.#remembered.size >= MAX_REMEMBERED) this.#remembered.clear();
    if (ttlMs > 0) this.#remembered.set(key, { untilMs: nowMs + ttlMs, decision });
    return decision;
  }

  rulesFor(): UserRules {
    return { rules: [], incomplete: true, errors: ["webhook authorizer does not support user rule resolution"] };
  }

  async #ask(spec: SubjectAccessReviewSpec): Promise<Decision> {
    const { webhook, version, onFailure } = this.#options;
    try {
      const review = await webhook.post<SubjectAccessReview>({
        kind: "SubjectAccessReview",
        apiVersion: `authorization.k8s.io/${version}`,
        metadata: {},
        spec: version === "v1" ? spec : asV1beta1(spec),
      });
      const { allowed = false, denied = false, reason = "" } = review.status ?? {};
      // Who says both is not to be trusted with a yes.
      if (denied && allowed) throw new Error("webhook subject access review returned both allow and deny response");
      return { verdict: denied ? "denied" : allowed ? "allowed" : "no-opinion", reason };
    } catch (error) {
      const evaluationError = error instanceof Error ? error.message : String(error);
      return { verdict: onFailure, reason: "", evaluationError };
    }
  }
}

function specOf(attributes: AuthorizerAttributes): SubjectAccessReviewSpec {
  const { user } = attributes;
  const extra = Object.entries(user.extra).map(([key, values]): [string, string[]] => [key, [...values]]);
  const who: SubjectAccessReviewSpec = {
    user: user.name,
    ...(user.uid === "" ? {} : { uid: user.uid }),
    ...(user.groups.length === 0 ? {} : { groups: [...user.groups] }),
    ...(extra.length === 0 ? {} : { extra: Object.fromEntries(extra) }),
  };
  if (attributes.kind === "nonResource") {
    return { ...who, nonResourceAttributes: { path: attributes.path, verb: attributes.verb } };
  }
  const { verb, apiGroup, apiVersion, resource, subresource, namespace, name } = attributes;
  const { fieldSelector, labelSelector } = attributes;
  const filled = Object.entries({ namespace, verb, group: apiGroup, version: apiVersion, resource, subresource, name });
  return {
    ...who,
    resourceAttributes: {
      ...Object.fromEntries(filled.filter(([, value]) => value !== "")),
      ...requirementsField("fieldSelector", fieldSelector),
      ...requirementsField("labelSelector", labelSelector),
    },
  };
}

/** The API's names of what selectors say; comparisons of numbers have none and are left out, which asks for more. */
const OPERATORS: Readonly<Record<string, string>> = {
  "=": "In",
  "==": "In",
  in: "In",
  In: "In",
  "!=": "NotIn",
  notin: "NotIn",
  NotIn: "NotIn",
  exists: "Exists",
  Exists: "Exists",
  "!": "DoesNotExist",
  DoesNotExist: "DoesNotExist",
};

function requirementsField(name: "fieldSelector" | "labelSelector", asked: readonly SelectorRequirement[] = []) {
  const requirements = asked.flatMap(({ key, operator, values }) => {
    const known = Object.hasOwn(OPERATORS, operator) ? OPERATORS[operator] : undefined;
    return known === undefined
      ? []
      : [{ key, operator: known, ...(values.length === 0 ? {} : { values: [...values] }) }];
  });
  return requirements.length === 0 ? {} : { [name]: { requirements } };
}

/** The old version says `group` where the new one says `groups`. */
function asV1beta1({ groups, ...rest }: SubjectAccessReviewSpec): SubjectAccessReviewSpec {
  return (groups === undefined ? rest : { ...rest, group: groups }) as SubjectAccessReviewSpec;
}
