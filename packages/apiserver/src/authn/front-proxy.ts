/**
 * A front proxy names the user in headers; who it is itself it proves with a certificate of its own CA.
 * Source: docs tasks/extend-kubernetes/configure-aggregation-layer, k8s.io/apiserver/pkg/authentication/request/headerrequest
 */
import type { CaBundle } from "./ca-bundle.ts";
import { type Authentication, AuthenticationError, type Authenticator, type Credentials } from "./types.ts";

export interface FrontProxyOptions {
  readonly cas: CaBundle;
  /** Common names of proxies; [] means any that the CA vouches for. */
  readonly allowedNames: readonly string[];
  readonly usernameHeaders: readonly string[];
  readonly uidHeaders: readonly string[];
  readonly groupHeaders: readonly string[];
  readonly extraHeaderPrefixes: readonly string[];
}

export class FrontProxyAuthenticator implements Authenticator {
  readonly #options: FrontProxyOptions;

  constructor(options: FrontProxyOptions) {
    this.#options = options;
  }

  authenticate(credentials: Credentials): Authentication | undefined {
    const { x509 } = credentials;
    // Other clients' certificates are for other authenticators, whatever headers come with them.
    if (x509 === undefined || !this.#options.cas.vouchesFor(x509)) return undefined;
    const headers = credentials.headers?.() ?? new Map<string, readonly string[]>();
    const name = this.#values(headers, this.#options.usernameHeaders)[0];
    if (name === undefined) return undefined;
    const { allowedNames } = this.#options;
    const commonName = commonNameOf(credentials);
    if (allowedNames.length > 0 && !allowedNames.includes(commonName)) {
      throw new AuthenticationError(`x509: subject with cn=${commonName} is not in the allowed list`);
    }
    return {
      user: Object.freeze({
        name,
        uid: this.#values(headers, this.#options.uidHeaders)[0] ?? "",
        groups: this.#values(headers, this.#options.groupHeaders),
        extra: this.#extra(headers),
      }),
    };
  }

  #values(headers: ReadonlyMap<string, readonly string[]>, names: readonly string[]): string[] {
    return names
      .flatMap((name) => headers.get(name.toLowerCase()) ?? [])
      .map((value) => value.trim())
      .filter((value) => value !== "");
  }

  #extra(headers: ReadonlyMap<string, readonly string[]>): Record<string, readonly string[]> {
    const extra: Record<string, readonly string[]> = Object.create(null);
    for (const prefix of this.#options.extraHeaderPrefixes.map((text) => text.toLowerCase())) {
      for (const [name, values] of headers) {
        if (!name.startsWith(prefix) || name === prefix) continue;
        const key = decodeKey(name.slice(prefix.length));
        extra[key] = [...(extra[key] ?? []), ...values];
      }
    }
    return extra;
  }
}

function commonNameOf({ certificate }: Credentials): string {
  const name = certificate?.subject.CN;
  return (typeof name === "string" ? name : name?.[0]) ?? "";
}

/** Keys are percent-encoded where a header's name could not hold them; a broken escape stands for itself. */
export function decodeKey(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    return text;
  }
}
