import assert from "node:assert/strict";
import { test } from "node:test";
import { created, type Manifest, updated } from "../kind-fixture.ts";

const group = "resource.k8s.io/v1";
const claim = (devices: object): Manifest => ({
  apiVersion: group,
  kind: "ResourceClaim",
  metadata: { name: "claim" },
  spec: { devices },
});
const slice = (spec: object): Manifest => ({
  apiVersion: group,
  kind: "ResourceSlice",
  metadata: { name: "slice" },
  spec: { driver: "gpu.example.com", pool: { name: "node-1", generation: 1, resourceSliceCount: 1 }, ...spec },
});
const onAll = (...devices: object[]) => slice({ allNodes: true, devices });
const exactly = (more: object = {}) => ({ name: "gpu", exactly: { deviceClassName: "gpu.example.com", ...more } });
const shared = (index: number, requestPolicy: object) => ({
  name: `d${index}`,
  allowMultipleAllocations: true,
  capacity: { memory: { value: "8Gi", requestPolicy } },
});
const opaque = { driver: "gpu.example.com", parameters: { kind: "Config" } };
const many = <T>(count: number, make: (index: number) => T) => Array.from({ length: count }, (_, index) => make(index));

const cases: readonly { name: string; manifest: Manifest; want: readonly string[] }[] = [
  { name: "a claim", manifest: claim({ requests: [exactly()] }), want: [] },
  {
    name: "a claim with alternatives, constraints and configuration",
    manifest: claim({
      requests: [exactly(), { name: "nic", firstAvailable: [{ name: "fast", deviceClassName: "nic" }] }],
      constraints: [{ requests: ["gpu", "nic/fast"], matchAttribute: "example.com/numa" }],
      config: [{ requests: ["nic"], opaque }],
    }),
    want: [],
  },
  {
    name: "constraints without a full name or with unknown requests",
    manifest: claim({
      requests: [exactly()],
      constraints: [{ matchAttribute: "numa" }, { requests: ["nic"] }],
    }),
    want: [
      'spec.devices.constraints[0].matchAttribute: Invalid value: "numa": a fully qualified name must be a domain and a name separated by a slash',
      "spec.devices.constraints[1].requests[0]: Invalid value: \"nic\": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
      'spec.devices.constraints[1]: Required value: exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set',
    ],
  },
  {
    name: "configuration without a driver, and parameters that are no object",
    manifest: claim({ requests: [exactly()], config: [{}, { opaque: { driver: "Bad_", parameters: [1] } }] }),
    want: [
      "spec.devices.config[0].opaque: Required value",
      "spec.devices.config[1].opaque.driver: Invalid value: \"Bad_\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
      'spec.devices.config[1].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object',
    ],
  },
  {
    name: "tolerations and selectors",
    manifest: claim({
      requests: [
        exactly({
          selectors: [{}, { cel: { expression: "x".repeat(10 * 1024 + 1) } }],
          tolerations: [
            { key: "a", operator: "Exists", value: "x" },
            { operator: "Like", effect: "Never" },
          ],
        }),
      ],
    }),
    want: [
      "spec.devices.requests[0].exactly.selectors[0].cel: Required value",
      "spec.devices.requests[0].exactly.selectors[1].cel.expression: Too long: may not be more than 10240 bytes",
      'spec.devices.requests[0].exactly.tolerations[0].value: Invalid value: "x": must be empty for operator `Exists`',
      'spec.devices.requests[0].exactly.tolerations[1].operator: Unsupported value: "Like": supported values: "Equal", "Exists"',
      'spec.devices.requests[0].exactly.tolerations[1].effect: Unsupported value: "Never": supported values: "NoExecute", "NoSchedule", "None"',
    ],
  },
  {
    name: "too many requests, of which nothing else is said",
    manifest: claim({ requests: many(33, () => ({ name: "" })) }),
    want: ["spec.devices.requests: Too many: 33: must have at most 32 items"],
  },
  {
    name: "a class with a resource name that is not extended",
    manifest: {
      apiVersion: group,
      kind: "DeviceClass",
      metadata: { name: "gpu" },
      spec: { extendedResourceName: "cpu", config: [{ opaque }] },
    },
    want: ['spec.extendedResourceName: Invalid value: "cpu": must be a valid extended resource name'],
  },
  { name: "a slice", manifest: onAll({ name: "gpu-0", attributes: { model: { string: "A" } } }), want: [] },
  {
    name: "a slice in several places",
    manifest: slice({ allNodes: true, nodeName: "node-1", perDeviceNodeSelection: false }),
    want: [
      "spec.perDeviceNodeSelection: Invalid value: false: must be either unset or set to true",
      'spec: Invalid value: "{`nodeName`, `allNodes`}": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set',
    ],
  },
  {
    name: "attributes",
    manifest: onAll({
      name: "gpu-0",
      attributes: {
        "a-b": { int: 1 },
        none: {},
        two: { int: 1, bool: true },
        version: { version: "1.2" },
        list: { ints: [1, 2] },
      },
    }),
    want: [
      "spec.devices[0].attributes: Invalid value: \"a-b\": a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')",
      'spec.devices[0].attributes[none]: Invalid value: "": exactly one value must be specified',
      'spec.devices[0].attributes[two]: Invalid value: {"int":1,"bool":true}: exactly one value must be specified',
      'spec.devices[0].attributes[version].version: Invalid value: "1.2": must be a string compatible with semver.org spec 2.0.0',
    ],
  },
  {
    name: "fewer devices when they have taints",
    manifest: onAll(...many(65, (i) => ({ name: `gpu-${i}`, taints: [{ key: "bad", effect: "NoSchedule" }] }))),
    want: ["spec.devices: Too many: 65: must have at most 64 items"],
  },
  {
    name: "taints, counters and binding conditions",
    manifest: onAll({
      name: "gpu-0",
      taints: [{ key: "a" }],
      consumesCounters: [{ counterSet: "set", counters: {} }],
      bindingConditions: ["ready"],
    }),
    want: [
      "spec.devices[0].taints[0].effect: Required value",
      "spec.devices[0].consumesCounters[0].counters: Required value",
      "spec.devices[0].bindingFailureConditions: Invalid value: []: bindingFailureConditions are required to use bindingConditions",
    ],
  },
  {
    name: "a device with a place of its own where the slice has one",
    manifest: onAll({ name: "gpu-0", allNodes: true }),
    want: [
      "spec.devices[0]: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec",
    ],
  },
  {
    name: "policies of capacities",
    manifest: onAll(
      { name: "a", capacity: { memory: { value: "8Gi", requestPolicy: { default: "1Gi" } } } },
      {
        name: "b",
        allowMultipleAllocations: true,
        capacity: { memory: { value: "8Gi", requestPolicy: { default: "16Gi" } } },
      },
    ),
    want: [
      "spec.devices[0].capacity[memory].requestPolicy: Forbidden: allowMultipleAllocations must be true",
      'spec.devices[1].capacity[memory].requestPolicy.default: Invalid value: "16Gi": default is larger than capacity value: 8Gi',
    ],
  },
  {
    name: "values that may be asked for of a capacity",
    manifest: onAll(
      ...[
        { default: "1Gi", validValues: ["1Gi", "2Gi"] },
        { validValues: ["1Gi"] },
        { default: "3Gi", validValues: ["2Gi", "1Gi", "1024Mi", "9Gi"] },
        { default: "1Gi", validValues: ["1Gi"], validRange: { min: "1Gi" } },
      ].map((requestPolicy, i) => shared(i, requestPolicy)),
    ),
    want: [
      "spec.devices[1].capacity[memory].requestPolicy.default: Required value: required when validValues is defined",
      'spec.devices[2].capacity[memory].requestPolicy.validValues[1]: Invalid value: "1Gi": values must be sorted in ascending order',
      'spec.devices[2].capacity[memory].requestPolicy.validValues[2]: Duplicate value: "1073741824"',
      'spec.devices[2].capacity[memory].requestPolicy.validValues[3]: Invalid value: "9Gi": option is larger than capacity value: 8Gi',
      'spec.devices[2].capacity[memory].requestPolicy.validValues: Invalid value: "3Gi": default value is not valid according to the requestPolicy',
      'spec.devices[3].capacity[memory].requestPolicy: Forbidden: exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time',
    ],
  },
  {
    name: "ranges that may be asked for of a capacity",
    manifest: onAll(
      ...[
        { default: "2Gi", validRange: { min: "1Gi", max: "4Gi", step: "1Gi" } },
        { validRange: { min: "1Gi" } },
        { default: "2Gi", validRange: { min: "9Gi", max: "1Gi" } },
        { default: "2Gi", validRange: { min: "1Gi", max: "16Gi" } },
        { default: "2Gi", validRange: { min: "1Gi", max: "5Gi", step: "3Gi" } },
        { default: "1Gi", validRange: { min: "1Gi", step: "8Gi" } },
        { default: "1Gi", validRange: { min: "1Gi", step: "0" } },
      ].map((requestPolicy, i) => shared(i, requestPolicy)),
    ),
    want: [
      "spec.devices[1].capacity[memory].requestPolicy.default: Required value: required when validRange is defined",
      'spec.devices[2].capacity[memory].requestPolicy.validRange.min: Invalid value: "9Gi": min is larger than capacity value: 8Gi',
      'spec.devices[2].capacity[memory].requestPolicy.validRange.min: Invalid value: "2Gi": default is less than min: 9Gi',
      'spec.devices[2].capacity[memory].requestPolicy.validRange.max: Invalid value: "9Gi": min is larger than max: 1Gi',
      'spec.devices[2].capacity[memory].requestPolicy.validRange.max: Invalid value: "2Gi": default is more than max: 1Gi',
      'spec.devices[3].capacity[memory].requestPolicy.validRange.max: Invalid value: "16Gi": max is larger than capacity value: 8Gi',
      'spec.devices[4].capacity[memory].requestPolicy.validRange.step: Invalid value: "2Gi": value is not a multiple of a given step (3Gi) from (1Gi)',
      'spec.devices[4].capacity[memory].requestPolicy.validRange.step: Invalid value: "5Gi": value is not a multiple of a given step (3Gi) from (1Gi)',
      'spec.devices[5].capacity[memory].requestPolicy.validRange.step: Invalid value: "8Gi": one step 9Gi is larger than capacity value: 8Gi',
      'spec.devices[6].capacity[memory].requestPolicy.validRange.step: Invalid value: "1Gi": value is not a multiple of a given step (0) from (1Gi)',
    ],
  },
];

for (const { name, manifest, want } of cases) {
  test(`${manifest.kind}.validate() judges ${name}`, () => {
    assert.deepEqual(created(manifest).errors, want);
  });
}

const stored = created(claim({ requests: [exactly()] })).object;
const device = { driver: "gpu.example.com", pool: "node-1", device: "gpu-0" };
const allocation = { devices: { results: [{ request: "gpu", ...device }] } };

test("ResourceClaim.validateUpdate() of the status accepts an allocation with its consumers and devices", () => {
  const reservedFor = [{ resource: "pods", name: "web", uid: "1" }];
  const status = { allocation, reservedFor, devices: [{ ...device, data: { ok: true } }] };
  assert.deepEqual(updated(stored, (object) => Object.assign(object, { status }), "status").errors, []);
});

test("ResourceClaim.validateUpdate() of the status refuses devices and consumers of nothing", () => {
  const status = {
    reservedFor: [{ resource: "pods", name: "web" }],
    devices: [{ ...device, networkData: { ips: ["10.0.0.1"] } }],
  };
  assert.deepEqual(updated(stored, (object) => Object.assign(object, { status }), "status").errors, [
    "status.reservedFor[0].uid: Required value",
    "status.reservedFor: Forbidden: may not be specified when `allocated` is not set",
    'status.devices[0]: Invalid value: "gpu.example.com/node-1/gpu-0": must be an allocated device in the claim',
    'status.devices[0].networkData.ips[0]: Invalid value: "10.0.0.1": must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)',
  ]);
});

test("ResourceClaim.validateUpdate() of the status refuses to change an allocation", () => {
  const { object } = updated(stored, (one) => Object.assign(one, { status: { allocation } }), "status");
  const other = { devices: { results: [{ request: "gpu", ...device, device: "gpu-1" }] } };
  const { errors } = updated(object, (one) => Object.assign(one, { status: { allocation: other } }), "status");
  assert.equal(errors.length, 1);
  assert.match(errors[0] ?? "", /^status\.allocation: Invalid value: .*: field is immutable$/);
  assert.deepEqual(updated(object, (one) => Object.assign(one, { status: {} }), "status").errors, []);
});
