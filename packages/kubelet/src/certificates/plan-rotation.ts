/** When a certificate is replaced. Pure. Source: k8s.io/client-go/util/certificate (nextRotationDeadline) */

export interface Validity {
  /** Epoch milliseconds. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** A moment between 70 % and 90 % of the certificate's life; `chance` (0 to 1) keeps nodes from coming all at once. */
export function rotationTime({ notBefore, notAfter }: Validity, chance: number): number {
  return notBefore + (notAfter - notBefore) * (0.7 + 0.2 * chance);
}

/** Who a certificate is for. */
export interface Template {
  readonly commonName: string;
  readonly organization: string;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
}

/** "DNS:node-1, IP Address:10.0.0.1", as Node.js shows a certificate's alternative names. */
export function namesIn(subjectAltName: string | undefined): Set<string> {
  const entries = (subjectAltName ?? "").split(", ").filter((entry) => entry !== "");
  return new Set(entries.map((entry) => entry.slice(entry.indexOf(":") + 1).toLowerCase()));
}

/** Whether the certificate names everything that it is to name; more does no harm. */
export function fitsTemplate(subjectAltName: string | undefined, template: Template): boolean {
  const names = namesIn(subjectAltName);
  return [...template.dnsNames, ...template.ipAddresses].every((name) => names.has(name.toLowerCase()));
}
