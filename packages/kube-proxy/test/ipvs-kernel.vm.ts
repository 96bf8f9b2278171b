/** IPVS mode with real packets, on a kernel that has IPVS: Debian's, in qemu (see guest/). */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { missingForGuest, runInGuest } from "./guest/linux-guest.ts";

const iptables = ["iptables", "ip6tables"].flatMap((name) =>
  ["", "-save", "-restore"].flatMap((verb) => [`${name}${verb}`, `${name}-nft${verb}`, `${name}-legacy${verb}`]),
);
const programs = ["ip", "nft", "ipset", "ipvsadm", "conntrack", "busybox", ...iptables];
const modules = ["ip_vs", "dummy", "veth", "br_netfilter", "nf_tables", "nft_compat", "nf_nat", "nf_conntrack_netlink"];
const missing = missingForGuest(programs);

const options = { skip: missing !== undefined && `missing: ${missing}`, timeout: 600_000 };

test("IPVS mode passes its tests on a kernel with IPVS", options, async (t) => {
  const lines: string[] = [];
  const code = await runInGuest({
    testFile: "packages/kube-proxy/test/guest/ipvs.guest.ts",
    programs,
    modules,
    onLine: (line) => {
      lines.push(line);
      if (/^\s*(?:not )?ok /.test(line)) t.diagnostic(line.trim());
    },
    // A minute and a half on two idle cores; emulation suffers when others want them too.
    timeoutMs: 590_000,
  });
  if (process.env.KNARR_GUEST_LOG !== undefined) writeFileSync(process.env.KNARR_GUEST_LOG, lines.join("\n"));
  assert.equal(code, 0, `the guest's last lines:\n${lines.slice(-60).join("\n")}`);
});
