import { readFile } from "node:fs/promises";

/** Name servers that are reachable from inside a node: a stub on the host's loopback is not, what is behind it is. */
export async function findResolvers(): Promise<string[]> {
  for (const path of ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"]) {
    const text = await readFile(path, "utf8").catch(() => ""); // not on this machine
    const servers = [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map((match) => match[1] ?? "");
    const usable = servers.filter((address) => !/^127\.|^::1$/.test(address));
    if (usable.length > 0) return usable;
  }
  return [];
}
