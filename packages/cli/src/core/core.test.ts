import assert from "node:assert/strict";
import { test } from "node:test";
import { humanDuration } from "@knarr/api/human-duration.ts";
import { printerOf } from "../print.ts";
import { parseManifests } from "./manifests.ts";
import { listOf, objectName, renderJson, renderYaml } from "./output.ts";
import { type DiscoveredResource, ResourceMapper } from "./resource-mapper.ts";
import { deploymentRolloutStatus } from "./rollout-status.ts";
import { parseSelection } from "./selection.ts";
import { tabAlign } from "./tab-align.ts";
import { cellText, renderTable } from "./table.ts";

const resource = (resource: string, kind: string, more: Partial<DiscoveredResource> = {}): DiscoveredResource => ({
  group: "",
  version: "v1",
  resource,
  kind,
  namespaced: true,
  singular: kind.toLowerCase(),
  shortNames: [],
  categories: [],
  verbs: ["get", "list"],
  subresources: [],
  ...more,
});
const mapper = new ResourceMapper([
  resource("pods", "Pod", { shortNames: ["po"], categories: ["all"] }),
  resource("events", "Event", { shortNames: ["ev"] }),
  resource("nodes", "Node", { namespaced: false }),
  resource("deployments", "Deployment", { group: "apps", shortNames: ["deploy"], categories: ["all"] }),
  resource("events", "Event", { group: "events.k8s.io", shortNames: ["ev"] }),
]);

for (const [word, want] of [
  ["po", "pods."],
  ["Pod", "pods."],
  ["deployments.apps", "deployments.apps"],
  ["deployment.v1.apps", "deployments.apps"],
  ["events", "events."],
  ["events.events.k8s.io", "events.events.k8s.io"],
  ["events.v1.events.k8s.io", "events.events.k8s.io"],
] as const) {
  test(`ResourceMapper.resolve() finds ${want} when asked for ${word}`, () => {
    const found = mapper.resolve(word);
    assert.equal(`${found.resource}.${found.group}`, want);
  });
}

test("ResourceMapper.resolve() names the word when there is no such type", () => {
  assert.throws(() => mapper.resolve("pizzas"), /the server doesn't have a resource type "pizzas"/);
});

test("ResourceMapper.forKind() names kind and version when the server has none", () => {
  assert.throws(
    () => mapper.forKind("apps/v2", "Deployment"),
    /no matches for kind "Deployment" in version "apps\/v2"/,
  );
});

const selections: { words: string[]; want: string[] }[] = [
  { words: ["pods"], want: ["pods/*"] },
  { words: ["po", "a", "b"], want: ["pods/a", "pods/b"] },
  { words: ["po/a", "deploy/b"], want: ["pods/a", "deployments/b"] },
  { words: ["po,nodes"], want: ["pods/*", "nodes/*"] },
  { words: ["all"], want: ["pods/*", "deployments/*"] },
];
for (const { words, want } of selections) {
  test(`parseSelection() gives ${want.join(" ")} when given ${words.join(" ")}`, () => {
    const found = parseSelection(words, mapper).map((s) => `${s.resource.resource}/${s.name ?? "*"}`);
    assert.deepEqual(found, want);
  });
}

test("parseSelection() refuses a mix of TYPE NAME and TYPE/NAME", () => {
  assert.throws(() => parseSelection(["pods", "pod/a"], mapper), /no need to specify a resource type/);
});

test("renderTable() pads each column to its widest cell and the last not at all", () => {
  const text = renderTable([["web", "1/1", "Running"]], { headings: ["NAME", "READY", "STATUS"] });
  assert.equal(text, "NAME   READY   STATUS\nweb    1/1     Running\n");
});

test("cellText() shows <none> when the cell is null", () => assert.equal(cellText(null), "<none>"));

test("renderYaml() sorts keys and does not indent lists", () => {
  assert.equal(renderYaml({ b: [{ c: 1 }], a: "yes" }), 'a: "yes"\nb:\n- c: 1\n');
});

test("renderJson() sorts keys at every level with four spaces", () => {
  assert.equal(renderJson({ b: { d: 1, c: 2 } }), '{\n    "b": {\n        "c": 2,\n        "d": 1\n    }\n}\n');
});

test("listOf() is a List when several objects are printed", () => {
  assert.deepEqual(Object.keys(listOf([])), ["apiVersion", "items", "kind", "metadata"]);
});

test("objectName() has the group when there is one", () => {
  assert.equal(objectName({ group: "apps", singular: "deployment" }, "web"), "deployment.apps/web");
});

test("printerOf() names the allowed formats when given another", () => {
  assert.throws(() => printerOf({ output: "xml" }), /allowed formats are: go-template,go-template-file,json,/);
});

test("parseManifests() unfolds Lists, skips empty documents and keeps order", () => {
  const text = `
apiVersion: v1
kind: Namespace
metadata: {name: a}
---
# only a comment
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Pod, metadata: {name: b}}
- {apiVersion: v1, kind: Pod, metadata: {name: c}}
`;
  assert.deepEqual(
    parseManifests(text, "x.yaml").map((m) => `${m.object.kind}/${m.object.metadata.name}`),
    ["Namespace/a", "Pod/b", "Pod/c"],
  );
});

const badManifests: { name: string; text: string; want: RegExp }[] = [
  { name: "kind is missing", text: "apiVersion: v1\nmetadata: {name: a}", want: /"x.yaml".*kind not set/ },
  { name: "a key stands twice", text: "kind: A\nkind: B\napiVersion: v1", want: /x.yaml: Map keys must be unique/ },
  { name: "the document is a list", text: "- a\n- b", want: /x.yaml, document 1: must be an object/ },
  { name: "the YAML is broken", text: "a: [1", want: /error parsing x.yaml/ },
];
for (const { name, text, want } of badManifests) {
  test(`parseManifests() says where and what when ${name}`, () =>
    assert.throws(() => parseManifests(text, "x.yaml"), want));
}

test("parseManifests() refuses an alias bomb instead of unfolding it", () => {
  const bomb = [
    "a: &a [x,x,x,x,x,x,x,x,x]",
    ...[..."bcdefgh"].map((k, i) => {
      const p = String.fromCharCode(97 + i);
      return `${k}: &${k} [${Array(9).fill(`*${p}`).join(",")}]`;
    }),
  ].join("\n");
  assert.throws(() => parseManifests(`apiVersion: v1\nkind: A\n${bomb}`, "x.yaml"), /alias/i);
});

const deployment = (status: object, more: object = {}) => ({
  metadata: { name: "web", generation: 2, ...more },
  spec: { replicas: 3, selector: {}, template: {} },
  status: { observedGeneration: 2, ...status },
});
const rollouts: { name: string; status: object; want: string }[] = [
  {
    name: "the controller has not seen the spec",
    status: { observedGeneration: 1 },
    want: "Waiting for deployment spec update to be observed...",
  },
  {
    name: "new replicas are missing",
    status: { replicas: 3, updatedReplicas: 1 },
    want: 'Waiting for deployment "web" rollout to finish: 1 out of 3 new replicas have been updated...',
  },
  {
    name: "old replicas are left",
    status: { replicas: 4, updatedReplicas: 3 },
    want: 'Waiting for deployment "web" rollout to finish: 1 old replicas are pending termination...',
  },
  {
    name: "new replicas are not available",
    status: { replicas: 3, updatedReplicas: 3, availableReplicas: 2 },
    want: 'Waiting for deployment "web" rollout to finish: 2 of 3 updated replicas are available...',
  },
  {
    name: "all is done",
    status: { replicas: 3, updatedReplicas: 3, availableReplicas: 3 },
    want: 'deployment "web" successfully rolled out',
  },
  {
    name: "the deadline passed",
    status: { conditions: [{ type: "Progressing", status: "False", reason: "ProgressDeadlineExceeded" }] },
    want: 'deployment "web" exceeded its progress deadline',
  },
];
for (const { name, status, want } of rollouts) {
  test(`deploymentRolloutStatus() says so when ${name}`, () => {
    assert.equal(deploymentRolloutStatus(deployment(status)).message, want);
  });
}

for (const [seconds, want] of [
  [5, "5s"],
  [119, "119s"],
  [120, "2m"],
  [192, "3m12s"],
  [3600 * 3, "3h"],
  [3600 * 7 + 300, "7h5m"],
  [86400 * 3, "3d"],
  [86400 * 400, "400d"],
] as const) {
  test(`humanDuration() is ${want} when ${seconds} s have passed`, () =>
    assert.equal(humanDuration(seconds * 1000), want));
}

test("tabAlign() makes a column of neighbouring lines with the cell, two blanks apart", () => {
  assert.equal(tabAlign("a:\t1\nlong:\t2\nplain\nb:\tc\td\n"), "a:     1\nlong:  2\nplain\nb:  c  d\n");
});

test("renderTable() keeps later rows in the columns of the earlier ones when given their widths", () => {
  const widths: number[] = [];
  renderTable([["web-123456", "Running", "1s"]], { headings: ["NAME", "STATUS", "AGE"], widths });
  assert.equal(renderTable([["web", "Pending", "2s"]], { widths }), "web          Pending   2s\n");
});
