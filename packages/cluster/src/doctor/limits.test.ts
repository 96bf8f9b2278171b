import assert from "node:assert/strict";
import { test } from "node:test";
import {
  judgeCapabilities,
  judgeCertificate,
  judgeInodes,
  judgeInotify,
  judgeMemory,
  judgeSkew,
  judgeSpace,
  judgeSyncs,
} from "./limits.ts";

const GIB = 2 ** 30;
const ALL_CAPABILITIES = (1n << 41n) - 1n;

const cases: readonly (readonly [name: string, verdict: string, expected: string, shown: RegExp])[] = (
  [
    ["inotify plenty", judgeInotify(512, 65_536), "ok", /512/],
    [
      "inotify instances short",
      judgeInotify(128, 524_288),
      "warning",
      /max_user_instances=512 .*max_user_watches=524288/,
    ],
    ["syncs quick", judgeSyncs([1, 2, 3], "/d"), "ok", /p50 2\.0 ms/],
    ["syncs slow", judgeSyncs([1, 2, 40], "/d"), "warning", /--data-dir/],
    ["syncs hopeless", judgeSyncs([600, 700, 800], "/d"), "failure", /p99 800/],
    ["space plenty", judgeSpace(50 * GIB, 100 * GIB, "/d"), "ok", /50\.0 GiB \(50 %\)/],
    ["space below a tenth", judgeSpace(5 * GIB, 100 * GIB, "/d"), "warning", /DiskPressure/],
    ["space none", judgeSpace(GIB / 2, 2 * GIB, "/d"), "failure", /0\.5 GiB/],
    ["inodes not counted", judgeInodes(0, 0, "/d"), "ok", /not counted/],
    ["inodes few", judgeInodes(1, 100, "/d"), "warning", /1 % free/],
    ["memory short", judgeMemory(GIB), "warning", /--nodes 1/],
    ["clock near", judgeSkew(-4000), "ok", /4\.0 s/],
    ["clock far", judgeSkew(60_000), "failure", /set-ntp/],
    ["capabilities all", judgeCapabilities(ALL_CAPABILITIES), "ok", /all/],
    [
      "capabilities without SYS_RESOURCE",
      judgeCapabilities(ALL_CAPABILITIES & ~(1n << 24n)),
      "warning",
      /SYS_RESOURCE/,
    ],
    ["capabilities none", judgeCapabilities(0n), "failure", /CAP_NET_ADMIN/],
  ] as const
).map(([name, finding, expected, shown]) => [
  name,
  finding.verdict,
  expected,
  shown.test(`${finding.found} ${finding.cause} ${finding.fix}`)
    ? shown
    : new RegExp(`${finding.found} ${finding.fix} lacks ${shown}`),
]);

for (const [name, verdict, expected, shown] of cases) {
  test(`doctor: ${name} is ${expected}`, () => {
    assert.equal(verdict, expected);
    assert.doesNotMatch(shown.source, / lacks /);
  });
}

test("judgeCertificate() says nothing of a certificate that has time", () => {
  assert.deepEqual(judgeCertificate("ca.crt", 200), []);
  assert.equal(judgeCertificate("ca.crt", 3)[0]?.verdict, "warning");
  assert.match(judgeCertificate("ca.crt", -2)[0]?.found ?? "", /ca\.crt expired 2 days ago/);
});
