/**
 * Client certificates: the common name is the user, each organization a group. The TLS layer has verified the chain, its dates and that
 * the certificate is meant for clients; a connection that outlives the certificate is refused here.
 * Source: docs reference/access-authn-authz/authentication#x509-client-certificates
 */
import type { Clock } from "@knarr/daemon/clock.ts";
import type { CaBundle } from "./ca-bundle.ts";
import {
  type Authentication,
  AuthenticationError,
  type Authenticator,
  type Credentials,
  type UserInfo,
} from "./types.ts";

const CREDENTIAL_ID = "authentication.kubernetes.io/credential-id";

type Certificate = NonNullable<Credentials["certificate"]>;

interface Bearer {
  /** Undefined when the certificate names nobody. */
  readonly user: UserInfo | undefined;
  readonly expiresMs: number;
}

export class ClientCertificateAuthenticator implements Authenticator {
  readonly #clock: Clock;
  /** What was read of each connection's certificate; it comes with every request. */
  readonly #bearers = new WeakMap<Certificate, Bearer>();
  readonly #cas: Pick<CaBundle, "vouchesFor"> | undefined;

  /** `cas`: those of --client-ca-file, where the TLS layer trusts others too; a front proxy's CA makes no users. */
  constructor(clock: Clock, cas?: Pick<CaBundle, "vouchesFor">) {
    this.#clock = clock;
    this.#cas = cas;
  }

  authenticate({ certificate, x509 }: Credentials): Authentication | undefined {
    const subject = certificate?.subject;
    if (certificate === undefined || subject === undefined) return undefined;
    if (this.#cas !== undefined && (x509 === undefined || !this.#cas.vouchesFor(x509))) return undefined;
    const { user, expiresMs } = this.#ofCertificate(certificate, subject);
    if (user === undefined) return undefined;
    if (expiresMs < this.#clock.now()) throw new AuthenticationError("the client certificate has expired");
    return { user };
  }

  #ofCertificate(certificate: Certificate, subject: NonNullable<Certificate["subject"]>): Bearer {
    const known = this.#bearers.get(certificate);
    if (known !== undefined) return known;
    const bearer = { user: userOf(certificate, subject), expiresMs: expiryOf(certificate) };
    this.#bearers.set(certificate, bearer);
    return bearer;
  }
}

function expiryOf({ valid_to }: Certificate): number {
  const parsed = valid_to === undefined ? Number.NaN : Date.parse(valid_to);
  return Number.isNaN(parsed) ? Number.POSITIVE_INFINITY : parsed;
}

function userOf({ fingerprint256 }: Certificate, subject: NonNullable<Certificate["subject"]>): UserInfo | undefined {
  const [name] = valuesOf(subject.CN);
  if (name === undefined || name === "") return undefined;
  const id = fingerprint256?.replaceAll(":", "").toLowerCase();
  return Object.freeze({
    name,
    uid: "",
    groups: valuesOf(subject.O),
    extra: id === undefined ? {} : { [CREDENTIAL_ID]: [`X509SHA256=${id}`] },
  });
}

/** Node gives one value as a string and several as an array. */
function valuesOf(value: string | readonly string[] | undefined): readonly string[] {
  if (value === undefined) return [];
  return typeof value === "string" ? [value] : value;
}
