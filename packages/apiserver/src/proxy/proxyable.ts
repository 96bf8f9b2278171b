/**
 * Which addresses a client may reach through the API server: global unicast ones. What only the API server's own machine or
 * link can reach (loopback, the clouds' metadata service) must not be reachable through an object that names it.
 * Source: k8s.io/kubernetes/pkg/proxy/util IsProxyableIP, IsProxyableHostname
 */
import { lookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";

/** IPv4 rules hold for ::ffff:a.b.c.d as well. */
const forbidden = new BlockList();
forbidden.addSubnet("0.0.0.0", 8);
forbidden.addSubnet("127.0.0.0", 8);
forbidden.addSubnet("169.254.0.0", 16);
forbidden.addSubnet("224.0.0.0", 4);
forbidden.addAddress("255.255.255.255");
forbidden.addAddress("::", "ipv6");
forbidden.addAddress("::1", "ipv6");
forbidden.addSubnet("fe80::", 10, "ipv6");
forbidden.addSubnet("ff00::", 8, "ipv6");

/** Whether the text is an address, and one that may be reached. */
export function isProxyableAddress(address: string): boolean {
  const family = isIP(address);
  // A zone means a link.
  if (family === 0 || address.includes("%")) return false;
  return !forbidden.check(address, family === 6 ? "ipv6" : "ipv4");
}

/** The same for a host name: all that it resolves to. */
export async function isProxyableHost(host: string): Promise<boolean> {
  if (isIP(host) !== 0) return isProxyableAddress(host);
  try {
    const found = await lookup(host, { all: true });
    return found.length > 0 && found.every(({ address }) => isProxyableAddress(address));
  } catch {
    // A name that cannot be resolved leads nowhere.
    return false;
  }
}
