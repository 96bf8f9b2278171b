/** What an ADD answers. Pure. Source: CNI specification 1.0, "ADD Success"; 0.2.0's "ip4" and "ip6" */

/** Kept as it came: the next plugin, CHECK and DEL get it word for word. */
export type CniResult = Readonly<Record<string, unknown>>;

const withoutPrefix = (address: unknown) => (typeof address === "string" ? (address.split("/", 1)[0] ?? "") : "");

/** The pod's addresses, in the plugin's order; those of interfaces outside the pod's namespace are left out. */
export function addressesOf(result: CniResult): string[] {
  const { ips, interfaces, ip4, ip6 } = result as {
    ips?: { address?: unknown; interface?: number }[];
    interfaces?: { sandbox?: string }[];
    ip4?: { ip?: unknown };
    ip6?: { ip?: unknown };
  };
  const inPod = (index: number | undefined) => index === undefined || (interfaces?.[index]?.sandbox ?? "") !== "";
  const listed = (ips ?? []).filter((ip) => inPod(ip.interface)).map((ip) => withoutPrefix(ip.address));
  return [...listed, withoutPrefix(ip4?.ip), withoutPrefix(ip6?.ip)].filter((ip) => ip !== "");
}
