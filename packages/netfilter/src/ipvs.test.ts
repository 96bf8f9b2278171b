import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { diffIpSet, parseIpSets, renderIpSetAdds, renderIpSetCreate, renderIpSetDeletes } from "./ip-set.ts";
import { parseIpvs, parseIpvsConnections, planVirtualServer, type VirtualServer, type WantedServer } from "./ipvs.ts";

const saved = `-A -t 10.96.0.20:80 -s rr -p 10800
-a -t 10.96.0.20:80 -r 10.180.0.2:8080 -m -w 0
-a -t 10.96.0.20:80 -r 10.180.0.3:8080 -m -w 1
-A -u 10.96.0.10:53 -s rr
-A -t [fd00:96::20]:80 -s rr
-a -t [fd00:96::20]:80 -r [fd00:180::2]:8080 -m -w 1
-A --sctp-service 10.96.0.21:9 -s lc
-A -f 7 -s rr
-a -f 7 -r 10.0.0.1:0 -g -w 1
`;

test("parseIpvs() reads what ipvsadm saves, and leaves out servers by firewall mark", () => {
  const servers = (...pairs: [string, number][]) => new Map(pairs);
  assert.deepEqual(
    parseIpvs(saved),
    new Map<string, VirtualServer>([
      [
        "tcp 10.96.0.20:80",
        { options: "-s rr -p 10800", servers: servers(["10.180.0.2:8080", 0], ["10.180.0.3:8080", 1]) },
      ],
      ["udp 10.96.0.10:53", { options: "-s rr", servers: servers() }],
      ["tcp [fd00:96::20]:80", { options: "-s rr", servers: servers(["[fd00:180::2]:8080", 1]) }],
      ["sctp 10.96.0.21:9", { options: "-s lc", servers: servers() }],
    ]),
  );
});

test("parseIpvsConnections() reads the connections of each real server", () => {
  const text = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  10.96.0.20:80 rr persistent 10800
  -> 10.180.0.2:8080              Masq    0      3          12
UDP  [fd00:96::10]:53 rr
  -> [fd00:180::2]:53             Masq    1      0          0
FWM  7 rr
  -> 10.0.0.1:0                   Route   1      9          9
`;
  const found = parseIpvsConnections(text);
  assert.deepEqual([...(found.get("tcp 10.96.0.20:80") ?? [])], [["10.180.0.2:8080", { active: 3, inactive: 12 }]]);
  assert.deepEqual([...(found.get("udp [fd00:96::10]:53") ?? [])], [["[fd00:180::2]:53", { active: 0, inactive: 0 }]]);
  assert.equal(found.size, 2);
});

const server = (options: string, weights: Record<string, number>): VirtualServer => ({
  options,
  servers: new Map(Object.entries(weights)),
});
const wanted = (options: string, ...servers: string[]): WantedServer => ({ options, servers: new Set(servers) });

for (const { name, key = "tcp 10.0.0.1:80", actual, want, additions = [], removals = [], draining = [] } of [
  {
    name: "makes a new one with its real servers",
    want: wanted("-s rr", "10.1.0.1:8080"),
    additions: ["-A -t 10.0.0.1:80 -s rr", "-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 1"],
  },
  {
    name: "does nothing when it is as wanted",
    actual: server("-s rr", { "10.1.0.1:8080": 1 }),
    want: wanted("-s rr", "10.1.0.1:8080"),
  },
  {
    name: "edits the options in place",
    actual: server("-s rr", {}),
    want: wanted("-s rr -p 60"),
    additions: ["-E -t 10.0.0.1:80 -s rr -p 60"],
  },
  {
    name: "drains a real server that left",
    actual: server("-s rr", { "10.1.0.1:8080": 1 }),
    want: wanted("-s rr"),
    removals: ["-e -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 0"],
    draining: ["10.1.0.1:8080"],
  },
  {
    name: "leaves one that drains",
    actual: server("-s rr", { "10.1.0.1:8080": 0 }),
    want: wanted("-s rr"),
    draining: ["10.1.0.1:8080"],
  },
  {
    name: "takes one back that drained",
    actual: server("-s rr", { "10.1.0.1:8080": 0 }),
    want: wanted("-s rr", "10.1.0.1:8080"),
    additions: ["-e -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 1"],
  },
  {
    name: "removes one of UDP at once",
    key: "udp 10.0.0.1:53",
    actual: server("-s rr", { "10.1.0.1:53": 1 }),
    want: wanted("-s rr"),
    removals: ["-d -u 10.0.0.1:53 -r 10.1.0.1:53"],
  },
  {
    name: "removes one that is not wanted any more",
    key: "sctp [fd00::1]:80",
    actual: server("-s rr", { "[fd00:1::1]:80": 1 }),
    removals: ["-D --sctp-service [fd00::1]:80"],
  },
  { name: "has nothing to do for what neither is nor shall be" },
] as {
  name: string;
  key?: string;
  actual?: VirtualServer;
  want?: WantedServer;
  additions?: string[];
  removals?: string[];
  draining?: string[];
}[]) {
  test(`planVirtualServer() ${name}`, () => {
    assert.deepEqual(planVirtualServer(key, actual, want), { additions, removals, draining });
  });
}

test("parseIpSets() reads what ipset saves, of the types that we know", () => {
  const text = `create KUBE-CLUSTER-IP hash:ip,port family inet hashsize 1024 maxelem 1048576 bucketsize 12 initval 0x5
create OTHER hash:mac hashsize 1024 maxelem 65536
add KUBE-CLUSTER-IP 10.96.0.1,tcp:443
add OTHER 00:11:22:33:44:55
`;
  const sets = parseIpSets(text);
  assert.deepEqual([...sets], [["KUBE-CLUSTER-IP", { type: "hash:ip,port", entries: new Set(["10.96.0.1,tcp:443"]) }]]);
});

test("diffIpSet() leads from any entries to any others, and then finds nothing", () => {
  const entries = fc.array(fc.ipV4(), { maxLength: 20 });
  fc.assert(
    fc.property(entries, entries, (before, after) => {
      const change = diffIpSet(new Set(before), new Set(after));
      const state = new Set(before);
      for (const line of [...renderIpSetAdds("A", change), ...renderIpSetDeletes("A", change)]) {
        const [verb, , entry = ""] = line.split(" ");
        if (verb === "add") state.add(entry);
        else state.delete(entry);
      }
      assert.deepEqual(state, new Set(after));
    }),
  );
});

test("renderIpSetCreate() makes room for a large cluster", () => {
  assert.equal(renderIpSetCreate("A", "hash:ip", "ipv6"), "create A hash:ip family inet6 maxelem 1048576");
  assert.equal(renderIpSetCreate("A", "bitmap:port", "ipv4"), "create A bitmap:port range 0-65535");
});
