/** Tables for the small translations between Docker's data and the runtime interface's. */
import assert from "node:assert/strict";
import test from "node:test";
import { plannedLimits } from "./cgroup-limits.ts";
import { cgroupUsage } from "./cgroup-stats.ts";
import { containerStatusOf, msOfTime } from "./container-state.ts";
import { runtimeEventOf } from "./docker-events.ts";
import { engineAuth, imageOf, isImageReference, pullReference } from "./docker-images.ts";
import type { InspectedContainer } from "./engine-types.ts";
import { containerLabels, ownedOf } from "./identity.ts";
import { convertLines, criLogLine } from "./log-lines.ts";
import { PullReader } from "./pull-progress.ts";
import { StreamDemux } from "./stream-demux.ts";

const TIME = "2026-01-02T03:04:05.678901234Z";
const RECORD = { name: "main", attempt: 0, image: "web:1", labels: {}, annotations: {}, logPath: "", mounts: [] };

for (const { text, want } of [
  { text: TIME, want: Date.parse("2026-01-02T03:04:05Z") + 678.901 },
  { text: "2026-01-02T03:04:05+01:00", want: Date.parse("2026-01-02T02:04:05Z") },
  { text: "0001-01-01T00:00:00Z", want: 0 },
  { text: "yesterday", want: 0 },
]) {
  test(`msOfTime() gives ${want} for ${text}`, () => {
    assert.equal(msOfTime(text), want);
  });
}

const inspected = (state: Partial<InspectedContainer["State"]>) =>
  ({
    Id: "c1",
    Created: TIME,
    Image: "sha256:1",
    State: {
      Status: "exited",
      Running: false,
      OOMKilled: false,
      Pid: 0,
      ExitCode: 0,
      Error: "",
      StartedAt: TIME,
      FinishedAt: TIME,
      ...state,
    },
    HostConfig: {},
    Config: {},
  }) as InspectedContainer;
const NEVER = "0001-01-01T00:00:00Z";

for (const { name, state, want } of [
  { name: "runs", state: { Running: true, Pid: 5 }, want: ["running", "", 0] },
  {
    name: "was created only",
    state: { Status: "created", StartedAt: NEVER, FinishedAt: NEVER },
    want: ["created", "", 0],
  },
  { name: "ended well", state: {}, want: ["exited", "Completed", 0] },
  { name: "failed", state: { ExitCode: 3 }, want: ["exited", "Error", 3] },
  { name: "ran out of memory", state: { ExitCode: 137, OOMKilled: true }, want: ["exited", "OOMKilled", 137] },
  {
    name: "could not be started",
    state: { Status: "created", StartedAt: NEVER, FinishedAt: NEVER, ExitCode: 127, Error: "no such file" },
    want: ["exited", "ContainerCannotRun", 127],
  },
] as const) {
  test(`containerStatusOf() says ${want.join(" ")} of a container that ${name}`, () => {
    const status = containerStatusOf(inspected(state), RECORD, undefined);
    assert.deepEqual([status.state, status.reason, status.exitCode], want);
    if (status.state === "exited") assert.ok(status.startedAt > 0 && status.finishedAt > 0);
  });
}

test("ownedOf() knows its own labels, and nobody else's", () => {
  const labels = containerLabels(RECORD, "s1", "/one");
  assert.equal(ownedOf(labels, "/one")?.kind, "container");
  assert.equal(ownedOf(labels, "/another"), undefined);
  // Made before owners were told apart.
  const { "dev.knarr.cri.owner": _, ...older } = labels;
  assert.equal(ownedOf(older, "/one")?.kind, "container");
  for (const labels of [
    null,
    {},
    { "dev.knarr.cri": "container" },
    { "dev.knarr.cri": "sandbox", "dev.knarr.cri.config": "x" },
  ]) {
    assert.equal(ownedOf(labels, "/one"), undefined);
  }
});

for (const { name, line, want } of [
  { name: "a line", line: { log: "hello\n", stream: "stdout", time: TIME }, want: `${TIME} stdout F hello\n` },
  { name: "a piece of one", line: { log: "hel", stream: "stderr", time: TIME }, want: `${TIME} stderr P hel\n` },
  { name: "an empty line", line: { log: "\n", stream: "stdout", time: TIME }, want: `${TIME} stdout F \n` },
  { name: "no log line", line: { other: 1 }, want: "" },
]) {
  test(`criLogLine() turns ${name} into CRI's format`, () => {
    assert.equal(criLogLine(JSON.stringify(line)), want);
  });
}

test("criLogLine() keeps the good end of a torn line", () => {
  const line = JSON.stringify({ log: "whole\n", stream: "stdout", time: TIME });
  assert.equal(criLogLine(`{"log":"tor${line}`), `${TIME} stdout F whole\n`);
  assert.equal(criLogLine('{"log":"tor'), "");
});

test("convertLines() takes whole lines only", () => {
  const line = `${JSON.stringify({ log: "ä\n", stream: "stdout", time: TIME })}\n`;
  const { text, consumed } = convertLines(Buffer.from(`${line}${line.slice(0, 20)}`));
  assert.deepEqual([text.toString(), consumed], [`${TIME} stdout F ä\n`, Buffer.byteLength(line)]);
  assert.equal(convertLines(Buffer.from("half")).consumed, 0);
});

for (const { image, want } of [
  { image: "web", want: { fromImage: "web", tag: "latest" } },
  { image: "web:1", want: { fromImage: "web", tag: "1" } },
  { image: "reg:5000/a/web", want: { fromImage: "reg:5000/a/web", tag: "latest" } },
  { image: "reg:5000/a/web:1", want: { fromImage: "reg:5000/a/web", tag: "1" } },
  { image: "web@sha256:ab", want: { fromImage: "web@sha256:ab" } },
]) {
  test(`pullReference() never asks for all tags of ${image}`, () => {
    assert.deepEqual(pullReference(image), want);
  });
}

test("engineAuth() decodes a combined secret, whose password may have colons, and passes tokens on", () => {
  const auth = Buffer.from("me:se:cret").toString("base64");
  assert.deepEqual(engineAuth({ auth }), { username: "me", password: "se:cret", serveraddress: "" });
  assert.equal((engineAuth({ identityToken: "t" }) as { identitytoken?: string }).identitytoken, "t");
  assert.equal(engineAuth(undefined), undefined);
});

for (const { user, want } of [
  { user: "", want: [undefined, ""] },
  { user: "1000:2000", want: [1000, ""] },
  { user: "web:web", want: [undefined, "web"] },
]) {
  test(`imageOf() reads the user ${JSON.stringify(user)}`, () => {
    const image = imageOf(
      { Id: "i", RepoTags: ["<none>:<none>"], RepoDigests: null, Size: 1, Config: { User: user } },
      "",
    );
    assert.deepEqual([image.uid, image.username, image.repoTags], [...want, []]);
  });
}

test("imageOf() pins the image that every pod needs, by its tag or its digest", () => {
  const image = { Id: "i", RepoTags: ["r.io/pause:3.10"], RepoDigests: ["r.io/pause@sha256:1"], Size: 1 };
  for (const name of ["r.io/pause:3.10", "r.io/pause@sha256:1"]) assert.equal(imageOf(image, name).pinned, true);
  assert.equal(imageOf(image, "r.io/pause:3.9").pinned, false);
});

test("PullReader counts layers and bytes, and keeps the error, however the stream is cut", () => {
  const messages = [
    { status: "Pulling from library/web", id: "latest" },
    { status: "Downloading", id: "a", progressDetail: { current: 5, total: 10 } },
    { status: "Already exists", id: "b" },
    { status: "Pull complete", id: "a" },
    { errorDetail: { message: "gone" }, error: "gone" },
  ];
  const text = messages.map((m) => `${JSON.stringify(m)}\r\n`).join("");
  const reader = new PullReader();
  for (let at = 0; at < text.length; at += 7) reader.push(text.slice(at, at + 7));
  reader.end();
  assert.deepEqual(reader.progress, { layers: 2, layersDone: 2, bytes: 10, bytesDone: 10 });
  assert.equal(reader.error, "gone");
});

test("StreamDemux takes frames apart, however the stream is cut", () => {
  const frame = (stream: number, text: string) =>
    Buffer.concat([Buffer.from([stream, 0, 0, 0, 0, 0, 0, text.length]), Buffer.from(text)]);
  const bytes = Buffer.concat([frame(1, "out"), frame(2, "err"), frame(1, "")]);
  const demux = new StreamDemux();
  const parts = [...bytes].flatMap((byte) => demux.push(Buffer.from([byte])));
  assert.deepEqual(
    parts.map((p) => [p.stream, p.data.toString()]),
    [
      ["stdout", "out"],
      ["stderr", "err"],
      ["stdout", ""],
    ],
  );
});

test("runtimeEventOf() passes on what the kubelet follows, of our containers only", () => {
  const Attributes = containerLabels({ ...RECORD, labels: { "io.kubernetes.pod.uid": "u1" } }, "s1", "/one");
  const event = (Action: string, attributes = Attributes) => ({
    Type: "container",
    Action,
    Actor: { ID: "c1", Attributes: attributes },
    timeNano: 1_000_500_000,
  });
  const want = { containerId: "c1", type: "stopped", podUid: "u1", createdAt: 1000.5 };
  assert.deepEqual(runtimeEventOf(event("die"), "/one"), want);
  assert.equal(runtimeEventOf(event("die"), "/another"), undefined);
  assert.equal(runtimeEventOf(event("exec_start: ls"), "/one"), undefined);
  assert.equal(runtimeEventOf(event("die", { "dev.knarr.cri": "" }), "/one"), undefined);
});

const V1 = "9:hugetlb:/pod/c\n4:memory:/pod/c\n0::/pod/c\n";
const V2 = "0::/pod/c\n";

test("plannedLimits() writes huge pages in either version's file, and v2's own files on v2 only", () => {
  const resources = { hugepageLimits: [{ pageSize: "2MB", limit: 4096 }], unified: { "memory.oom.group": "1" } };
  assert.deepEqual(plannedLimits(V1, resources), [["/sys/fs/cgroup/hugetlb/pod/c/hugetlb.2MB.limit_in_bytes", "4096"]]);
  assert.deepEqual(plannedLimits(V2, resources), [
    ["/sys/fs/cgroup/pod/c/hugetlb.2MB.max", "4096"],
    ["/sys/fs/cgroup/pod/c/memory.oom.group", "1"],
  ]);
  assert.throws(() => plannedLimits(V2, { unified: { "../memory.max": "1" } }), /no cgroup file/);
});

test("cgroupUsage() computes the working set from both versions' files", () => {
  const v1 = { version: 1, cpu: "5000\n", usage: "100\n", limit: "9223372036854771712\n" } as const;
  const one = cgroupUsage({ ...v1, stat: "total_inactive_file 30\ntotal_rss 40\ntotal_pgfault 7\n" });
  assert.deepEqual([one.cpuUsageNanoSeconds, one.memoryWorkingSetBytes, one.memoryRssBytes], [5000, 70, 40]);
  assert.equal(one.memoryAvailableBytes, undefined);
  const v2 = { version: 2, cpu: "usage_usec 5\nuser_usec 1\n", usage: "100\n", limit: "200\n" } as const;
  const two = cgroupUsage({ ...v2, stat: "anon 40\ninactive_file 30\npgfault 7\n" });
  assert.deepEqual([two.cpuUsageNanoSeconds, two.memoryAvailableBytes, two.pageFaults], [5000, 130, 7]);
});

test("isImageReference() lets names, digests and ids pass, and nothing that would lead elsewhere in the engine's API", () => {
  const digest = `sha256:${"a".repeat(64)}`;
  const good = ["busybox", "busybox:1", "127.0.0.1:5000/team/app:1.2_x-y", `app@${digest}`, `app:1@${digest}`, digest];
  for (const name of [...good, "a".repeat(64), "registry.example/a__b/c--d"]) assert.ok(isImageReference(name), name);
  const bad = [
    "../containers/json",
    "a/../../containers/prune",
    "x/..",
    "./x",
    "x?all=1",
    "x#y",
    "x%2e%2e",
    "--help",
    "/",
  ];
  for (const name of [...bad, "x\r\nHost: y", "x y", "//host/x", "x//y", "x/", "\0", "", "x\n"]) {
    assert.ok(!isImageReference(name), JSON.stringify(name));
  }
});
