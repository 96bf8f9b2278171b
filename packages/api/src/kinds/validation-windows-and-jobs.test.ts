/** Windows pods and the rarer parts of Jobs: bad manifests and every complaint about each. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { created, type Manifest } from "./kind-fixture.ts";

const pod = (spec: object): Manifest => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "p" },
  spec: { containers: [{ name: "c", image: "i" }], ...spec },
});
const options = (windowsOptions: object, more: object = {}) => pod({ securityContext: { windowsOptions }, ...more });
const userName = (runAsUserName: string) => options({ runAsUserName });
const job = (spec: object): Manifest => ({
  apiVersion: "batch/v1",
  kind: "Job",
  metadata: { name: "j" },
  spec: { template: { spec: { restartPolicy: "Never", containers: [{ name: "c", image: "i" }] } }, ...spec },
});
const indexed = (rule: object) => job({ completions: 5, completionMode: "Indexed", successPolicy: { rules: [rule] } });
const failing = (onExitCodes: object, more: object = {}) =>
  job({
    podFailurePolicy: { rules: [{ action: "FailJob", onExitCodes: { operator: "In", ...onExitCodes } }] },
    ...more,
  });

const user = "spec.securityContext.windowsOptions.runAsUserName: Invalid value:";
const rules = "spec.successPolicy.rules[0]";
const rows: { name: string; object: Manifest; want: string[] }[] = [
  {
    name: "fields of Linux in a Windows pod",
    object: pod({
      os: { name: "windows" },
      hostPID: true,
      securityContext: { runAsUser: 1 },
      containers: [{ name: "c", image: "i", securityContext: { privileged: true } }],
    }),
    want: [
      "spec.securityContext.runAsUser: Forbidden: cannot be set for a windows pod",
      "spec.hostPID: Forbidden: cannot be set for a windows pod",
      "spec.containers[0].securityContext.privileged: Forbidden: cannot be set for a windows pod",
    ],
  },
  {
    name: "options of Windows in a Linux pod",
    object: options({ runAsUserName: "u" }, { os: { name: "linux" } }),
    want: ["spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod"],
  },
  { name: "a user with a domain (none)", object: userName("CONTOSO\\joe"), want: [] },
  { name: "an empty user name", object: userName(""), want: [`${user} "": runAsUserName cannot be an empty string`] },
  {
    name: "two backslashes",
    object: userName("a\\b\\c"),
    want: [`${user} "a\\\\b\\\\c": runAsUserName cannot contain more than one backslash`],
  },
  {
    name: "a user of dots",
    object: userName("..."),
    want: [`${user} "...": runAsUserName's User cannot contain only periods or spaces`],
  },
  {
    name: "a host process without the host's network",
    object: options({ hostProcess: true }),
    want: [
      "spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers",
    ],
  },
  { name: "a success policy (none)", object: indexed({ succeededIndexes: "0,2-3", succeededCount: 3 }), want: [] },
  {
    name: "a success policy without a rule's content",
    object: indexed({}),
    want: [`${rules}: Required value: at least one of succeededCount or succeededIndexes must be specified`],
  },
  {
    name: "a success policy of a job that is not indexed",
    object: job({ successPolicy: { rules: [{ succeededCount: 1 }] } }),
    want: ['spec.successPolicy: Invalid value: {"rules":[{"succeededCount":1}]}: requires indexed completion mode'],
  },
  {
    name: "more successes than indexes",
    object: indexed({ succeededIndexes: "0-1", succeededCount: 3 }),
    want: [
      `${rules}.succeededCount: Invalid value: 3: must be less than or equal to 2 (the number of indexes in the specified succeededIndexes field)`,
    ],
  },
  {
    name: "indexes that do not exist or are out of order",
    object: indexed({ succeededIndexes: "3,1" }),
    want: [
      `${rules}.succeededIndexes: Invalid value: "3,1": error parsing succeededIndexes: non-increasing order, previous: 3, current: 1`,
    ],
  },
  {
    name: "indexes beyond the completions",
    object: indexed({ succeededIndexes: "1-9" }),
    want: [`${rules}.succeededIndexes: Invalid value: "1-9": error parsing succeededIndexes: too large index: "9"`],
  },
  {
    name: "exit codes twice and out of order",
    object: failing({ values: [2, 1, 2] }),
    want: [
      "spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 2",
      "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,1,2]: must be ordered",
    ],
  },
  {
    name: "failed indexes without a limit per index",
    object: job({ completions: 2, completionMode: "Indexed", maxFailedIndexes: 1 }),
    want: ["spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified"],
  },
  {
    name: "a manager without a domain",
    object: job({ managedBy: "me" }),
    want: [`spec.managedBy: Invalid value: "me": must be a domain-prefixed path (such as "acme.io/foo")`],
  },
];

for (const { name, object, want } of rows) {
  test(`validate() complains of ${name}`, () => assert.deepEqual(created(object).errors, want));
}
