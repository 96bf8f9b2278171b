import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRule, renderRule, splitWords } from "./iptables-text.ts";
import { jumpTo, orMark, type Rule, xorMark } from "./rule.ts";

const rows: readonly { readonly rule: Rule; readonly text: string }[] = [
  { rule: { target: { kind: "none" } }, text: "" },
  { rule: { target: orMark(0x4000) }, text: "-j MARK --set-xmark 0x4000/0x4000" },
  { rule: { target: xorMark(0x4000) }, text: "-j MARK --set-xmark 0x4000/0x0" },
  {
    rule: { mark: { is: { value: 0x4000, mask: 0x4000 }, not: true }, target: { kind: "return" } },
    text: "-m mark ! --mark 0x4000/0x4000 -j RETURN",
  },
  {
    rule: {
      source: { is: "10.0.0.0/8", not: true },
      destination: { is: "10.96.0.1" },
      protocol: "tcp",
      comment: "default/kubernetes:https cluster IP",
      destinationPort: 443,
      target: jumpTo("KUBE-MARK-MASQ"),
    },
    text: '! -s 10.0.0.0/8 -d 10.96.0.1/32 -p tcp -m comment --comment "default/kubernetes:https cluster IP" -m tcp --dport 443 -j KUBE-MARK-MASQ',
  },
  {
    rule: { comment: 'a "b" \\ c', target: { kind: "drop" } },
    text: '-m comment --comment "a \\"b\\" \\\\ c" -j DROP',
  },
  { rule: { comment: "plain", target: { kind: "accept" } }, text: "-m comment --comment plain -j ACCEPT" },
  {
    rule: { recent: { kind: "check", name: "KUBE-SEP-A", seconds: 10800 }, target: jumpTo("KUBE-SEP-A") },
    text: "-m recent --rcheck --seconds 10800 --reap --name KUBE-SEP-A --mask 255.255.255.255 --rsource -j KUBE-SEP-A",
  },
  {
    rule: {
      protocol: "udp",
      recent: { kind: "set", name: "KUBE-SEP-A" },
      target: { kind: "dnat", to: "10.0.0.2:53" },
    },
    text: "-p udp -m recent --set --name KUBE-SEP-A --mask 255.255.255.255 --rsource -j DNAT --to-destination 10.0.0.2:53",
  },
  {
    rule: { oneIn: 3, target: jumpTo("X") },
    text: "-m statistic --mode random --probability 0.33333333349 -j X",
  },
  {
    rule: {
      protocol: "tcp",
      comment: "ns/svc has no endpoints",
      destinationIsLocal: true,
      destinationPort: 30080,
      target: { kind: "reject" },
    },
    text: '-p tcp -m comment --comment "ns/svc has no endpoints" -m addrtype --dst-type LOCAL -m tcp --dport 30080 -j REJECT --reject-with icmp-port-unreachable',
  },
  {
    rule: { conntrack: { is: ["RELATED", "ESTABLISHED", "DNAT"], not: true }, target: { kind: "drop" } },
    text: "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
  },
  {
    rule: { inInterface: { is: "veth+", not: true }, target: { kind: "masquerade", randomFully: true } },
    text: "! -i veth+ -j MASQUERADE --random-fully",
  },
];

for (const { rule, text } of rows) {
  test(`renderRule() writes ${text === "" ? "nothing" : text} for an IPv4 rule`, () => {
    assert.equal(renderRule(rule, "ipv4"), text);
  });
  test(`parseRule() reads ${text === "" ? "nothing" : text}`, () => {
    assert.deepEqual(parseRule(text), rule);
  });
}

test("renderRule() keeps a comment on one line", () => {
  const rule: Rule = { comment: "a\n-A INPUT -j ACCEPT", target: { kind: "drop" } };
  assert.equal(renderRule(rule, "ipv4"), '-m comment --comment "a?-A INPUT -j ACCEPT" -j DROP');
});

test("renderRule() writes IPv6 forms for an IPv6 rule", () => {
  const rule: Rule = { destination: { is: "fd00::0:1" }, target: { kind: "reject" } };
  assert.equal(renderRule(rule, "ipv6"), "-d fd00::1/128 -j REJECT --reject-with icmp6-port-unreachable");
});

for (const text of ["-p icmp -j ACCEPT", "-m limit --limit 3/sec -j ACCEPT", "-p tcp -m tcp ! --dport 80 -j DROP"]) {
  test(`parseRule() answers undefined for ${text}, which is outside the model`, () => {
    assert.equal(parseRule(text), undefined);
  });
}

test("splitWords() keeps quoted spaces and escaped quotes together", () => {
  assert.deepEqual(splitWords('-m comment --comment "a \\"b\\" c" -j X'), [
    "-m",
    "comment",
    "--comment",
    'a "b" c',
    "-j",
    "X",
  ]);
});
