/**
 * Client certificates: the common name is the user, each organization a group. The TLS layer has verified the chain, its dates and that
 * the certificate is meant for clients; a connection that outlives the certificate is refused here.
 * Source: docs reference/access-authn-authz/authentication#x509-client-certificates
 */
import type { Clock } from "@knarr/daemon/clock.ts";
import type { CaBundle } from "./ca-bundle.ts";
import { type Authentication, AuthenticationError, type Authenticator, type Credentials } from "./types.ts";

const CREDENTIAL_ID = "authentication.kubernetes.io/credential-id";

export class ClientCertificateAuthenticator implements Authenticator {
  readonly #clock: Clock;
  readonly #cas: Pick<CaBundle, "vouchesFor"> | undefined;

  /** `cas`: those of --client-ca-file, where the TLS layer trusts others too; a front proxy's CA makes no users. */
  constructor(clock: Clock, cas?: Pick<CaBundle, "vouchesFor">) {
    this.#clock = clock;
    this.#cas = cas;
  }

  async authenticate({ certificate, x509 }: Credentials): Promise<Authentication | undefined> {
    const subject = certificate?.subject;
    if (certificate === undefined || subject === undefined) return undefined;
    if (this.#cas !== undefined && (x509 === undefined || !this.#cas.vouchesFor(x509))) return undefined;
    const [name] = valuesOf(subject.CN);
    if (name === undefined || name === "") return undefined;
    if (certificate.valid_to !== undefined && Date.parse(certificate.valid_to) < this.#clock.now()) {
      throw new AuthenticationError("the client certificate has expired");
    }
    const { fingerprint256 } = certificate;
    return {
      user: Object.freeze({
        name,
        uid: "",
        groups: valuesOf(subject.O),
        extra:
          fingerprint256 === undefined
            ? {}
            : { [CREDENTIAL_ID]: [`X509SHA256=${fingerprint256.replaceAll(":", "").toLowerCase()}`] },
      }),
    };
  }
}

/** Node gives one value as a string and several as an array. */
function valuesOf(value: string | readonly string[] | undefined): readonly string[] {
  if (value === undefined) return [];
  return typeof value === "string" ? [value] : value;
}
