/**
 * How others find the leading scheduler: its Lease carries the address of its HTTPS port and the fingerprint of its
 * certificate. Whoever may read the Lease can connect and be sure whom to.
 */
import { networkInterfaces } from "node:os";

/** host:port */
export const ADDRESS_ANNOTATION = "knarr.dev/secure-address";
/** SHA-256 of the serving certificate (DER), in hexadecimal. */
export const CERTIFICATE_ANNOTATION = "knarr.dev/secure-certificate-sha256";

/** A port bound to every address is best reached at the machine's first one that is not local. */
export function advertisedAddress(bindAddress: string, port: number): string {
  const isAny = bindAddress === "0.0.0.0" || bindAddress === "::";
  const host = isAny ? (firstAddress() ?? "127.0.0.1") : bindAddress;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function firstAddress(): string | undefined {
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { address, family, internal } of addresses ?? []) if (family === "IPv4" && !internal) return address;
  }
  return undefined;
}
