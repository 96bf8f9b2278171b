/**
 * Which of several CAs vouches for a client certificate. The TLS layer trusts the clients' CA and the front proxy's alike,
 * and has checked dates, signatures and purpose; who may say what is decided by the CA that the chain ends in.
 */
import { X509Certificate } from "node:crypto";

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;
/** Chains are short; a longer one is a loop. */
const MAX_DEPTH = 8;
const MAX_REMEMBERED = 10_000;

export class CaBundle {
  #cas: readonly X509Certificate[] = [];
  /** Answers for the current CAs. */
  #known = new WeakMap<X509Certificate, boolean>();
  /**
   * Fingerprints of certificates whose chain was seen whole. A TLS session that is resumed brings the certificate without
   * the intermediates; it was begun with them, by this very process.
   */
  readonly #vouched = new Set<string>();

  constructor(pem = "") {
    if (pem !== "") this.load(pem);
  }

  /** Replaces the CAs (their file has changed). Throws an Error for PEM text without a certificate. */
  load(pem: string): void {
    const cas = (pem.match(PEM_BLOCK) ?? []).map((block) => new X509Certificate(block));
    if (cas.length === 0) throw new Error("no certificate in PEM form");
    this.#cas = cas;
    this.#known = new WeakMap();
    this.#vouched.clear();
  }

  /** Whether the chain of a certificate that the TLS layer has verified ends in one of these CAs. */
  vouchesFor(certificate: X509Certificate): boolean {
    const known = this.#known.get(certificate);
    if (known !== undefined) return known;
    const vouched = this.#vouched.has(certificate.fingerprint256) || this.#search(certificate);
    this.#known.set(certificate, vouched);
    if (vouched) {
      if (this.#vouched.size >= MAX_REMEMBERED) this.#vouched.clear();
      this.#vouched.add(certificate.fingerprint256);
    }
    return vouched;
  }

  #search(certificate: X509Certificate): boolean {
    let link: X509Certificate | undefined = certificate;
    for (let depth = 0; link !== undefined && depth < MAX_DEPTH; depth += 1) {
      for (const ca of this.#cas) if (isIssuer(ca, link) || link.raw.equals(ca.raw)) return true;
      link = link.issuerCertificate;
    }
    return false;
  }
}

/** The name alone proves nothing: two CAs may have the same. */
function isIssuer(ca: X509Certificate, certificate: X509Certificate): boolean {
  return certificate.checkIssued(ca) && certificate.verify(ca.publicKey);
}
