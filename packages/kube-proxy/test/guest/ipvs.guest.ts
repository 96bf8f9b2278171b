/** Runs in the guest: the flow table with real packets through IPVS, and what only a kernel with IPVS can tell. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { silentLogger } from "@knarr/daemon/logger.ts";
import { IptablesTool } from "@knarr/netfilter/iptables-tool.ts";
import { cleanUp, removeOtherModes } from "../../src/adapters/clean-up.ts";
import { IptablesBackend } from "../../src/adapters/iptables-backend.ts";
import { IpvsBackend } from "../../src/adapters/ipvs-backend.ts";
import { applyIpvsSettings, requireIpvs } from "../../src/adapters/ipvs-support.ts";
import type { Config } from "../../src/config.ts";
import { endpointOn, net, planOptions, serviceView } from "../../src/testing/flow-table.ts";
import { describeFlows, describeIpv6, signal, syncWith } from "../flow-cases.ts";
import { FlowNetwork } from "../flow-network.ts";

const context = { signal, log: silentLogger() };
const run = (program: string, ...args: string[]) => execFileSync(program, args, { encoding: "utf8" });
const settings = { scheduler: "rr", excludeCidrs: ["192.0.2.0/24"] };
const toService = "10.96.0.20:80";

if (process.env.KNARR_IN_GUEST !== undefined) {
  let network: FlowNetwork;
  before(async () => {
    run("ip", "link", "set", "lo", "up");
    await requireIpvs("rr", context);
    const ipvs = { ...settings, strictArp: true, tcpTimeoutMs: 900_000, tcpFinTimeoutMs: 0, udpTimeoutMs: 0 };
    await applyIpvsSettings({ ipvs } as unknown as Config, context);
    network = await FlowNetwork.create();
  });
  after(() => network.stop());
  const backend = new IpvsBackend(new IptablesTool("ipv4", "nft"), settings);
  const backend6 = new IpvsBackend(new IptablesTool("ipv6", "nft"), settings);
  describe("ipvs", () => {
    describeFlows(backend, () => network);
    describeIpv6(backend6, () => network);
    describeIpvs(backend, () => network);
  });
  after(() => {
    assert.doesNotMatch(run("ipset", "save"), /KUBE-/);
    assert.doesNotMatch(run("ip", "link", "show"), /kube-ipvs0/);
  });
}

function describeIpvs(backend: IpvsBackend, networkOf: () => FlowNetwork): void {
  const sync = syncWith(backend);
  const answers = async () => (await networkOf().probe("podA", toService, "tcp", 20_000)).answer?.split(" ")[0];

  test("requireIpvs() names a scheduler that the kernel lacks", async () => {
    await assert.rejects(requireIpvs("nonsense", context), /can't proxy by IPVS here: .*ip_vs_nonsense/);
  });

  test("applyIpvsSettings() sets what upstream sets", () => {
    const read = (name: string) => readFileSync(`/proc/sys/net/ipv4/${name}`, "utf8").trim();
    const values = ["vs/conntrack", "vs/expire_nodest_conn", "conf/all/arp_ignore", "conf/all/arp_announce"].map(read);
    assert.deepEqual(values, ["1", "1", "1", "2"]);
    assert.match(run("ipvsadm", "-L", "--timeout"), /: 900 /);
  });

  test("sync() lets a real server end its connections before it is removed", async () => {
    await sync([serviceView({ endpoints: [endpointOn("podA"), endpointOn("podB")] })]);
    // From the node, and not to the port that answers and closes: the connection stays until it is closed here.
    const sockets = await Promise.all([0, 1].map(() => openConnection()));
    await sync([serviceView({ endpoints: [endpointOn("podA")] })]);
    assert.match(run("ipvsadm", "-S", "-n"), new RegExp(`-r ${net.podB}:8080 -m -w 0`));
    for (let i = 0; i < 4; i++) assert.equal(await answers(), "podA");
    await sync([serviceView({ endpoints: [endpointOn("podA")] })], true);
    assert.match(run("ipvsadm", "-S", "-n"), new RegExp(`-r ${net.podB}:8080 -m -w 0`), "removed too early");
    await sync([serviceView({ endpoints: [endpointOn("podA"), endpointOn("podB")] })]);
    assert.match(run("ipvsadm", "-S", "-n"), new RegExp(`-r ${net.podB}:8080 -m -w 1`));
    for (const socket of sockets) socket.destroy();
  });

  test("sync() removes a real server without connections at the next comparison", async () => {
    const spec = { clusterIP: "10.96.0.22", clusterIPs: ["10.96.0.22"] };
    await sync([serviceView({ name: "idle", spec, endpoints: [endpointOn("podA"), endpointOn("podB")] })]);
    const one = serviceView({ name: "idle", spec, endpoints: [endpointOn("podA")] });
    await sync([one]);
    assert.match(run("ipvsadm", "-S", "-n"), /-t 10\.96\.0\.22:80 -r \S+ -m -w 0/);
    await sync([one], true);
    assert.doesNotMatch(run("ipvsadm", "-S", "-n"), /-t 10\.96\.0\.22:80 -r \S+ -m -w 0/);
  });

  test("sync() repairs what someone else removed, and leaves what others made alone", async () => {
    const view = serviceView({ endpoints: [endpointOn("podB")] });
    await sync([view]);
    run("ipvsadm", "-A", "-t", "192.0.2.1:80", "-s", "rr");
    run("ipset", "create", "FOREIGN", "hash:ip");
    run("ipvsadm", "-D", "-t", toService);
    run("ip", "addr", "del", "10.96.0.20/32", "dev", "kube-ipvs0");
    run("ipset", "flush", "KUBE-CLUSTER-IP");
    assert.ok((await sync([view], true)).changedElements >= 4);
    assert.equal(await answers(), "podB");
    assert.match(run("ipvsadm", "-S", "-n"), /192\.0\.2\.1:80/);
    assert.equal((await sync([view], true)).changedElements, 0);
  });

  test("sync() takes over from a process before it without touching anything", async () => {
    const view = serviceView({ spec: { sessionAffinity: "ClientIP" }, endpoints: [endpointOn("podB")] });
    await sync([view]);
    const next = new IpvsBackend(new IptablesTool("ipv4", "nft"), settings);
    const outcome = await syncWith(next)([view], true);
    assert.deepEqual([outcome.changedElements, outcome.changedChains], [0, 0]);
  });

  test("a change of mode moves Services over, to iptables and back", async () => {
    const view = serviceView({ spec: { type: "NodePort" }, endpoints: [endpointOn("podB")] });
    await sync([view], true);
    const iptables = new IptablesBackend(new IptablesTool("ipv4", "nft"));
    await iptables.sync([view], planOptions, { full: true, signal });
    // As in the daemon, both families change over before what the old mode left is removed.
    const ipv6 = new IptablesBackend(new IptablesTool("ipv6", "nft"));
    await ipv6.sync([], { ...planOptions, family: "ipv6", localDetector: { kind: "none" } }, { full: true, signal });
    await removeOtherModes("iptables", context);
    assert.doesNotMatch(run("ipset", "save"), /KUBE-/);
    assert.doesNotMatch(run("ipvsadm", "-S", "-n"), /10\.96\.0\.20|30080/);
    assert.match(run("ipvsadm", "-S", "-n"), /192\.0\.2\.1:80/);
    assert.equal(await answers(), "podB");
    await sync([view], true);
    await removeOtherModes("ipvs", context);
    assert.doesNotMatch(run("iptables-nft-save"), /KUBE-SVC|KUBE-SEP/);
    assert.equal(await answers(), "podB");
  });

  test("cleanUp() removes what is ours, and nothing else", async () => {
    await cleanUp(context);
    assert.match(run("ipset", "save"), /FOREIGN/);
    assert.match(run("ipvsadm", "-S", "-n"), /^-A -t 192\.0\.2\.1:80 -s rr\s*$/);
    assert.doesNotMatch(run("iptables-nft-save"), /KUBE-/);
    run("ipset", "destroy", "FOREIGN");
    run("ipvsadm", "-C");
  });

  function openConnection() {
    const [host = "", port] = toService.split(":");
    return new Promise<ReturnType<typeof connect>>((resolve, reject) => {
      // Half open: the agent's end is taken, ours stays.
      const socket = connect({ host, port: Number(port), allowHalfOpen: true });
      socket.once("error", reject);
      socket.once("data", () => resolve(socket));
    });
  }
}
