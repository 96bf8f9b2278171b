import assert from "node:assert/strict";
import { test } from "node:test";
import {
  boolFlag,
  durationFlag,
  flagName,
  givenFlags,
  intFlag,
  listFlag,
  mapFlag,
  parseFlags,
  parseGoDurationMs,
  stringFlag,
  UsageError,
} from "./flags.ts";

const flags = {
  kubeconfig: stringFlag({ help: "path of the kubeconfig", placeholder: "path", required: true }),
  leaderElect: boolFlag({ help: "elect a leader", default: true }),
  securePort: intFlag({ help: "HTTPS port", default: 10259, min: 0, max: 65535 }),
  syncPeriodMs: durationFlag({ help: "full sync", default: "30s" }),
  controllers: listFlag({ help: "controllers to run", default: ["*"] }),
  nodeLabels: mapFlag({ help: "labels" }),
  proxyMode: stringFlag({ help: "backend", default: "iptables", oneOf: ["iptables", "nftables"] }),
};
const program = { name: "kube-x", description: "x", flags, ignored: ["--cloud-provider"] };

const good: { name: string; argv: string[]; want: Record<string, unknown> }[] = [
  {
    name: "defaults are used",
    argv: [],
    want: { leaderElect: true, securePort: 10259, syncPeriodMs: 30_000, controllers: ["*"] },
  },
  {
    name: "a bare boolean is true and takes no word",
    argv: ["--leader-elect", "--secure-port", "1"],
    want: { leaderElect: true, securePort: 1 },
  },
  { name: "a boolean takes =false", argv: ["--leader-elect=false"], want: { leaderElect: false } },
  { name: "a duration is milliseconds", argv: ["--sync-period=1m30s"], want: { syncPeriodMs: 90_000 } },
  {
    name: "lists split and repeat",
    argv: ["--controllers=a,b", "--controllers", "-c"],
    want: { controllers: ["a", "b", "-c"] },
  },
  {
    name: "maps split and repeat",
    argv: ["--node-labels=a=1,b=2", "--node-labels=c="],
    want: { nodeLabels: { a: "1", b: "2", c: "" } },
  },
  { name: "the last of a repeated flag wins", argv: ["--secure-port=1", "--secure-port=2"], want: { securePort: 2 } },
];
for (const { name, argv, want } of good) {
  test(`parseFlags() does as upstream's flags do when ${name}`, () => {
    const { values } = parseFlags(program, ["--kubeconfig=/k", ...argv]);
    for (const [key, value] of Object.entries(want)) assert.deepEqual(values[key as keyof typeof values], value);
    assert.ok(Object.isFrozen(values));
  });
}

const bad: { name: string; argv: string[]; message: RegExp }[] = [
  { name: "a required flag is missing", argv: [], message: /required flag --kubeconfig is not set/ },
  {
    name: "a port is out of range",
    argv: ["--kubeconfig=k", "--secure-port=70000"],
    message: /"70000" for --secure-port: must be a whole number between 0 and 65535/,
  },
  {
    name: "a port is no number",
    argv: ["--kubeconfig=k", "--secure-port=abc"],
    message: /for --secure-port: must be a whole number/,
  },
  {
    name: "a duration has no unit",
    argv: ["--kubeconfig=k", "--sync-period=30"],
    message: /for --sync-period: must be a duration/,
  },
  {
    name: "a value is not in the set",
    argv: ["--kubeconfig=k", "--proxy-mode=ebpf"],
    message: /must be one of "iptables", "nftables"/,
  },
  { name: "a flag is unknown", argv: ["--kubeconfig=k", "--nope"], message: /unknown option '--nope'/ },
  { name: "an argument is stray", argv: ["--kubeconfig=k", "stray"], message: /too many arguments/ },
  {
    name: "a map entry has no equals sign",
    argv: ["--kubeconfig=k", "--node-labels=a"],
    message: /must be key=value pairs, got "a"/,
  },
];
for (const { name, argv, message } of bad) {
  test(`parseFlags() throws a UsageError that names the flag when ${name}`, () => {
    assert.throws(
      () => parseFlags(program, argv),
      (error) => error instanceof UsageError && message.test(error.message),
    );
  });
}

test("parseFlags() reports ignored upstream flags when they are given with or without a value", () => {
  assert.deepEqual(parseFlags(program, ["--kubeconfig=k", "--cloud-provider=external"]).ignored, ["--cloud-provider"]);
  assert.deepEqual(parseFlags(program, ["--kubeconfig=k", "--cloud-provider"]).ignored, ["--cloud-provider"]);
});

test("flagName() drops the unit when a key ends in Ms", () => {
  assert.equal(flagName("nodeMonitorGracePeriodMs", flags.syncPeriodMs), "node-monitor-grace-period");
});

test("givenFlags() names the keys when flags stand on the command line", () => {
  assert.deepEqual([...givenFlags(flags, ["--secure-port=1", "--leader-elect"])], ["securePort", "leaderElect"]);
});

for (const [text, want] of [
  ["300ms", 300],
  ["1h2m3.5s", 3_723_500],
  ["0", 0],
  ["-5s", -5000],
] as const) {
  test(`parseGoDurationMs() reads ${text} when it is a Go duration`, () => assert.equal(parseGoDurationMs(text), want));
}

test("parseFlags() takes Go's form of a short flag with a value", () => {
  const v = intFlag({ help: "verbosity", name: "v", short: "v", default: 0 });
  assert.equal(parseFlags({ name: "x", description: "x", flags: { v } }, ["-v=4"]).values.v, 4);
  assert.equal(parseFlags({ name: "x", description: "x", flags: { v } }, ["--v=5"]).values.v, 5);
});
