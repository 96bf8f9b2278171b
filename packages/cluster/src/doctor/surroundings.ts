/** What surrounds a cluster on this machine: ports, ranges, firewalls, name servers. */
import { Resolver } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { clusterNameOf, planCluster } from "../cluster-config.ts";
import { findConflicts } from "../conflicts.ts";
import { clusterPaths } from "../paths.ts";
import { findResolvers } from "../resolvers.ts";
import { tryCommand } from "../run-command.ts";
import { type Check, type Finding, failure, ok, warning } from "./check.ts";

const places: Check = {
  subject: "ports and ranges",
  async run({ dataDir, config }) {
    const subject = "ports and ranges";
    const planned = config ?? planCluster({ name: clusterNameOf(dataDir), dataDir, index: 0, nodeCount: 2 });
    const conflicts = await findConflicts(planned, clusterPaths(dataDir));
    const where = `API server ${planned.ports.apiserver}, nodes ${planned.nodeSubnet}, pods ${planned.podCidr}`;
    if (conflicts.length === 0) return [ok(subject, where)];
    // Before the first `up` another place is chosen; a cluster that has its place needs it.
    const advice = {
      cause: config === undefined ? "a new cluster takes the next free ports and ranges" : "its daemons can't listen",
      fix: `ss -lptn shows who listens; end it${config === undefined ? "" : ", or make a cluster elsewhere with another --data-dir"}`,
    };
    const found = conflicts.join("; ");
    return [config === undefined ? warning(subject, found, advice) : failure(subject, found, advice)];
  },
};

const firewall: Check = {
  subject: "firewall",
  async run({ signal }) {
    const subject = "firewall";
    const found: Finding[] = [];
    const ask = (command: readonly string[]) => tryCommand(command, { signal }).catch(() => undefined); // not installed
    if (/^Status: active/m.test((await ask(["ufw", "status"])) ?? "")) {
      const cause = "ufw drops what is forwarded between nodes, pods and the outside";
      found.push(warning(subject, "ufw is active", { cause, fix: "ufw default allow routed" }));
    }
    if ((await ask(["firewall-cmd", "--state"]))?.trim() === "running") {
      const cause = "firewalld drops what is forwarded unless the bridge is in a trusted zone";
      const fix = "firewall-cmd --zone=trusted --add-interface=knarr0";
      found.push(warning(subject, "firewalld is running", { cause, fix }));
    }
    const policy = /^-P FORWARD (\w+)/m.exec((await ask(["iptables", "-S", "FORWARD"])) ?? "")?.[1];
    // Ours accepts what goes through the bridge before the policy is asked; other tables may still drop.
    if (found.length === 0)
      found.push(ok(subject, `iptables FORWARD policy ${policy ?? "unknown"}, no firewall service`));
    return found;
  },
};

const DNS_TIMEOUT_MS = 2000;

const names: Check = {
  subject: "DNS",
  async run() {
    const subject = "DNS";
    const servers = await findResolvers();
    if (servers.length === 0) {
      const text = await readFile("/etc/resolv.conf", "utf8").catch(() => ""); // none
      const listed = [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map((match) => match[1]).join(", ");
      const cause = "pods can't resolve names outside the cluster: loopback addresses mean the pod itself there";
      const fix = "name a server that is reachable from other machines in /etc/resolv.conf";
      return [warning(subject, `no usable name server (${listed || "none listed"})`, { cause, fix })];
    }
    const silent: string[] = [];
    for (const server of servers) if (!(await answers(server))) silent.push(server);
    const found = `name servers ${servers.join(", ")}`;
    if (silent.length === 0) return [ok(subject, found)];
    const cause = "pods wait for answers that don't come when they resolve names outside the cluster";
    const fix = "correct /etc/resolv.conf, or the connection to these servers";
    return [warning(subject, `${found}; no answer from ${silent.join(", ")}`, { cause, fix })];
  },
};

/** Whether anything comes back, be it that there is no such name. */
async function answers(server: string): Promise<boolean> {
  const resolver = new Resolver({ timeout: DNS_TIMEOUT_MS, tries: 1 });
  try {
    resolver.setServers([server.includes(":") ? `[${server}]` : server]);
    await resolver.resolveNs(".");
    return true;
  } catch (error) {
    const { code } = error as { code?: string };
    return code !== "ETIMEOUT" && code !== "ECONNREFUSED" && code !== "ECANCELLED";
  }
}

export const surroundingsChecks: readonly Check[] = [places, firewall, names];
