/**
 * The authorizers as the AuthorizationConfiguration has them now: it may change while the server runs. Every decision is
 * made by one set of authorizers, old or new, never by some of each.
 */
import type { UserInfo } from "../authn/types.ts";
import type { AuthorizerSettings } from "./authorization-configuration.ts";
import type { Authorizer, AuthorizerAttributes, Decision, RuleResolver, UserRules } from "./types.ts";

type Current = Authorizer & RuleResolver;

export interface ChangingAuthorizerOptions {
  readonly settings: readonly AuthorizerSettings[];
  readonly build: (settings: readonly AuthorizerSettings[]) => Current;
  /** Reads the file again; throws when it cannot be used. */
  readonly read: () => Promise<readonly AuthorizerSettings[]>;
}

export class ChangingAuthorizer implements Authorizer, RuleResolver {
  readonly #options: ChangingAuthorizerOptions;
  #settings: readonly AuthorizerSettings[];
  #current: Current;

  constructor(options: ChangingAuthorizerOptions) {
    this.#options = options;
    this.#settings = options.settings;
    this.#current = options.build(options.settings);
  }

  authorize(attributes: AuthorizerAttributes): Decision | Promise<Decision> {
    return this.#current.authorize(attributes);
  }

  rulesFor(user: UserInfo, namespace: string): UserRules {
    return this.#current.rulesFor(user, namespace);
  }

  /** Whether anything changed. Throws, and changes nothing, for a file that cannot be used. */
  async reload(): Promise<boolean> {
    const settings = await this.#options.read();
    if (JSON.stringify(settings) === JSON.stringify(this.#settings)) return false;
    for (const type of ["Node", "RBAC"] as const) {
      const had = this.#settings.some((one) => one.type === type);
      const has = settings.some((one) => one.type === type);
      // Source: KEP-3221: what other parts of the server were started with stays.
      if (had !== has)
        throw new Error(`the authorizer ${type} cannot be ${had ? "removed" : "added"} without a restart`);
    }
    const next = this.#options.build(settings);
    this.#settings = settings;
    this.#current = next;
    return true;
  }
}
