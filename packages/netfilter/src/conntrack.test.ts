import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConntrackList } from "./conntrack.ts";

test("parseConntrackList() reads both directions of a translated UDP flow", () => {
  const line =
    "udp      17 29 src=10.180.0.2 dst=10.96.0.10 sport=40000 dport=53 src=10.180.1.9 dst=10.180.0.2 sport=5353 dport=40000 mark=0 use=1";
  assert.deepEqual(parseConntrackList(`${line}\n`), [
    {
      protocol: "udp",
      source: "10.180.0.2",
      sourcePort: 40000,
      destination: "10.96.0.10",
      destinationPort: 53,
      replySource: "10.180.1.9",
      replySourcePort: 5353,
    },
  ]);
});

test("parseConntrackList() reads unreplied flows and skips what it does not know", () => {
  const text = `udp 17 29 src=1.1.1.1 dst=2.2.2.2 sport=1 dport=2 [UNREPLIED] src=2.2.2.2 dst=1.1.1.1 sport=2 dport=1 mark=0
icmp 1 29 src=1.1.1.1 dst=2.2.2.2 type=8 code=0 id=1 src=2.2.2.2 dst=1.1.1.1 type=0 code=0 id=1
conntrack v1.4.7: 2 flow entries have been shown.`;
  assert.equal(parseConntrackList(text).length, 1);
});
