/**
 * A link that holds the addresses of a server for its node alone, such as 169.254.20.10: it is made at the start and
 * removed at the end. Its alias says that it is ours. Source: the node-local DNS cache add-on
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);
const ip = (...args: string[]) => run("ip", args);
const ALIAS = "knarr cluster-dns";

/** Resolves once the link holds the addresses; a link left by a process that was killed is taken over. */
export async function openLocalLink(name: string, addresses: readonly string[]): Promise<() => Promise<void>> {
  const { stdout } = await ip("-j", "link", "show");
  const links = JSON.parse(stdout) as { ifname: string; ifalias?: string }[];
  const found = links.find((link) => link.ifname === name);
  if (found !== undefined && found.ifalias !== ALIAS) {
    throw new Error(`link ${name} exists and was not made here`);
  }
  if (found === undefined) {
    try {
      await ip("link", "add", name, "type", "dummy");
    } catch {
      // A kernel without dummy links has bridges, and one without ports holds addresses as well; its error is the one told.
      await ip("link", "add", name, "type", "bridge");
    }
    await ip("link", "set", name, "alias", ALIAS);
  }
  for (const address of addresses) {
    await ip("addr", "replace", `${address}/${address.includes(":") ? 128 : 32}`, "dev", name);
  }
  await ip("link", "set", name, "up");
  return async () => {
    await ip("link", "del", name);
  };
}
