import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "@knarr/daemon/clock.ts";
import { parseFlags, UsageError } from "@knarr/daemon/flags.ts";
import { frameworkOf, listersOf, NO_WRITES } from "../../test/lib/test-cluster.ts";
import { Nominations } from "../core/nominations.ts";
import { type Config, flags, ignoredFlags, loadConfig } from "./config.ts";
import { checkConfigFile } from "./config-file.ts";
import { renderConfig } from "./render-config.ts";

const ELECTION = {
  ...{ enabled: true, leaseDurationMs: 15_000, renewDeadlineMs: 10_000, retryPeriodMs: 2000 },
  ...{ namespace: "kube-system", name: "kube-scheduler" },
};
const KIND = { apiVersion: "kubescheduler.config.k8s.io/v1", kind: "KubeSchedulerConfiguration" };

const refused: { name: string; file: unknown; want: string }[] = [
  { name: "it is no object", file: [], want: "must be a KubeSchedulerConfiguration object" },
  {
    name: "it is of another version",
    file: { ...KIND, apiVersion: "kubescheduler.config.k8s.io/v1beta3" },
    want: 'no kind "KubeSchedulerConfiguration" is registered for version "kubescheduler.config.k8s.io/v1beta3"',
  },
  { name: "a field is unknown", file: { ...KIND, speed: 1 }, want: 'unknown field "speed"' },
  { name: "extenders are wanted", file: { ...KIND, extenders: [] }, want: 'unknown field "extenders"' },
  {
    name: "a field of a profile is unknown",
    file: { ...KIND, profiles: [{ plugins: { filters: {} } }] },
    want: 'unknown field "profiles[0].plugins.filters"',
  },
  {
    name: "a percentage is too large",
    file: { ...KIND, percentageOfNodesToScore: 101 },
    want: "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]",
  },
  {
    name: "a back-off is zero",
    file: { ...KIND, podInitialBackoffSeconds: 0 },
    want: "podInitialBackoffSeconds: Invalid value: 0: must be greater than 0",
  },
  {
    name: "the longest back-off is shorter than the first",
    file: { ...KIND, podInitialBackoffSeconds: 20 },
    want: "podMaxBackoffSeconds: Invalid value: 10: must be greater than or equal to PodInitialBackoffSeconds",
  },
  {
    name: "parallelism is zero",
    file: { ...KIND, parallelism: 0 },
    want: "parallelism: Invalid value: 0: should be an integer value greater than zero",
  },
  { name: "there is no profile", file: { ...KIND, profiles: [] }, want: "profiles: Required value" },
  {
    name: "two profiles have one name",
    file: { ...KIND, profiles: [{ schedulerName: "a" }, { schedulerName: "a" }] },
    want: 'profiles[1].schedulerName: Duplicate value: "a"',
  },
  {
    name: "one of two profiles has no name",
    file: { ...KIND, profiles: [{ schedulerName: "a" }, {}] },
    want: "profiles[1].schedulerName: Required value",
  },
  {
    name: "a plugin does not exist",
    file: { ...KIND, profiles: [{ plugins: { score: { enabled: [{ name: "Luck" }] } } }] },
    want: 'profiles[0].plugins.score.enabled[0]: Not found: "Luck"',
  },
  {
    name: "an argument is unknown",
    file: { ...KIND, profiles: [{ pluginConfig: [{ name: "NodeResourcesFit", args: { strategy: 1 } }] }] },
    want: 'unknown field "profiles[0].pluginConfig[0].args.strategy"',
  },
  {
    name: "an argument is out of range",
    file: {
      ...KIND,
      profiles: [{ pluginConfig: [{ name: "InterPodAffinity", args: { hardPodAffinityWeight: 101 } }] }],
    },
    want: "profiles[0].pluginConfig[0].args.hardPodAffinityWeight: Invalid value: 101: not in valid range [0-100]",
  },
  {
    name: "arguments are given twice",
    file: { ...KIND, profiles: [{ pluginConfig: [{ name: "NodeAffinity" }, { name: "NodeAffinity" }] }] },
    want: 'profiles[0].pluginConfig[1]: Duplicate value: "NodeAffinity"',
  },
  {
    name: "a scoring strategy does not exist",
    file: {
      ...KIND,
      profiles: [{ pluginConfig: [{ name: "NodeResourcesFit", args: { scoringStrategy: { type: "Best" } } }] }],
    },
    want:
      'profiles[0].pluginConfig[0].args.scoringStrategy.type: Unsupported value: "Best": ' +
      'supported values: "LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"',
  },
  {
    name: "a lease is shorter than its deadline",
    file: { ...KIND, leaderElection: { leaseDuration: "5s" } },
    want: "leaderElection.leaseDuration: Invalid value: ",
  },
  {
    name: "two things are wrong",
    file: { ...KIND, parallelism: 0, podInitialBackoffSeconds: -1 },
    want: "[parallelism: Invalid value: 0: should be an integer value greater than zero, podInitialBackoffSeconds",
  },
];
for (const { name, file, want } of refused) {
  test(`checkConfigFile() names the field when ${name}`, () => {
    assert.throws(
      () => checkConfigFile(file, "file.yaml"),
      (error) => error instanceof UsageError && error.message.includes(want),
      want,
    );
  });
}

test("checkConfigFile() fills in upstream's defaults", () => {
  const file = checkConfigFile(KIND, "");
  assert.equal(file.podInitialBackoffSeconds, 1);
  assert.equal(file.podMaxBackoffSeconds, 10);
  assert.equal(file.profiles[0]?.schedulerName, "default-scheduler");
  assert.deepEqual(file.profiles[0]?.args.get("DefaultPreemption"), {
    minCandidateNodesPercentage: 10,
    minCandidateNodesAbsolute: 100,
  });
});

const build = (profile?: Record<string, unknown>) =>
  frameworkOf(profile, {
    listers: listersOf({}),
    writes: NO_WRITES,
    nominations: new Nominations(),
    clock: systemClock,
    random: Math.random,
    isPreempting: () => false,
  });
const weights = (profile?: Record<string, unknown>) =>
  Object.fromEntries(build(profile).score.map(({ plugin, weight }) => [plugin.name, weight]));

test("buildFramework() gives upstream's weights by default", () => {
  assert.deepEqual(weights(), {
    TaintToleration: 3,
    NodeAffinity: 2,
    NodeResourcesFit: 1,
    PodTopologySpread: 2,
    InterPodAffinity: 2,
    NodeResourcesBalancedAllocation: 1,
    ImageLocality: 1,
  });
});

test("buildFramework() puts plugins named at a point before those of multiPoint", () => {
  const plugins = { score: { enabled: [{ name: "ImageLocality", weight: 7 }] } };
  const [first] = build({ plugins }).score;
  assert.equal(first?.plugin.name, "ImageLocality");
  assert.equal(first?.weight, 7);
});

test("buildFramework() leaves out what is disabled, everywhere or at one point", () => {
  const everywhere = build({ plugins: { multiPoint: { disabled: [{ name: "NodeAffinity" }] } } });
  assert.equal(everywhere.plugins.has("NodeAffinity"), false);
  const atOne = build({ plugins: { filter: { disabled: [{ name: "*" }] } } });
  assert.equal(atOne.filter.length, 0);
  assert.ok(atOne.score.length > 0);
});

test("buildFramework() refuses a profile that can't work", () => {
  for (const [plugins, want] of [
    [{ queueSort: { disabled: [{ name: "*" }] } }, /no queue sort plugin is enabled/],
    [{ bind: { disabled: [{ name: "*" }] } }, /at least one bind plugin is needed/],
    [{ score: { enabled: [{ name: "NodeName" }] } }, /plugin NodeName does not extend score plugin/],
  ] as const) {
    assert.throws(() => build({ plugins }), want);
  }
});

const limits: { name: string; clientConnection: object; want: unknown }[] = [
  { name: "nothing is said", clientConnection: {}, want: undefined },
  { name: "it is below zero", clientConnection: { qps: -1, burst: 5 }, want: undefined },
  { name: "a rate is given", clientConnection: { qps: 20.5 }, want: { qps: 20.5, burst: 100 } },
  { name: "both are given", clientConnection: { qps: 20, burst: 40 }, want: { qps: 20, burst: 40 } },
];
for (const { name, clientConnection, want } of limits) {
  test(`checkConfigFile() limits requests as told when ${name}`, () => {
    assert.deepEqual(checkConfigFile({ ...KIND, clientConnection }, "f").rateLimit, want);
  });
}

test("renderConfig() shows a configuration that checkConfigFile() reads as the same", () => {
  const file = checkConfigFile(
    { ...KIND, parallelism: 4, podMaxBackoffSeconds: 20, clientConnection: { qps: 5, burst: 7 } },
    "f",
  );
  const values = { kubeconfig: "/k", podMaxInUnschedulablePodsDurationMs: 300_000 };
  const config = { ...file, ...values, initialBackoffMs: 1000, maxBackoffMs: 20_000, leaderElection: ELECTION };
  const shown = renderConfig(config as unknown as Config)["kubescheduler.config.k8s.io"];
  const read = checkConfigFile(JSON.parse(JSON.stringify(shown)), "shown");
  assert.deepEqual(
    { ...read, leaderElection: undefined, kubeconfig: undefined },
    { ...file, leaderElection: undefined },
  );
  assert.equal(read.kubeconfig, "/k");
  assert.equal(read.leaderElection?.leaseDuration, "15s");
});

test("flags are read with upstream's that have no meaning here", () => {
  const argv = [
    "--kube-api-qps=50",
    "--leader-elect-resource-lock=leases",
    "--pod-max-in-unschedulable-pods-duration=1m",
  ];
  const program = { name: "kube-scheduler", description: "", flags, ignored: ignoredFlags };
  const config = loadConfig(parseFlags(program, argv).values);
  assert.equal(config.maxUnschedulableMs, 60_000);
  assert.equal(config.rateLimit, undefined);
});
