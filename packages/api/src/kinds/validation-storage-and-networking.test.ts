/** Bad manifests of the smaller kinds and every complaint about each, in upstream's words. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { created, type Manifest } from "./kind-fixture.ts";

const nameRule =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. " +
  "'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const subdomainRule =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with " +
  "an alphanumeric character (e.g. 'example.com', regex used for validation is " +
  "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const dnsLabelRule =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an " +
  "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const labelRule =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an " +
  "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is " +
  "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

const metadata = { name: "x" };
const storage = (kind: string, rest: object): Manifest => ({
  apiVersion: "storage.k8s.io/v1",
  kind,
  metadata: { name: "x.example" },
  ...rest,
});
const terms = (...matchLabelExpressions: object[]) => ({ matchLabelExpressions });
const slice = (addressType: string, ...endpoints: object[]): Manifest => ({
  ...{ apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice", metadata },
  ...{ addressType, endpoints },
});
const limits = (...items: object[]): Manifest => ({
  ...{ apiVersion: "v1", kind: "LimitRange", metadata },
  spec: { limits: items },
});
const autoscaler = (...metrics: object[]): Manifest => ({
  ...{ apiVersion: "autoscaling/v2", kind: "HorizontalPodAutoscaler", metadata },
  spec: { maxReplicas: 2, scaleTargetRef: { kind: "Deployment", name: "d", apiVersion: "apps/v1" }, metrics },
});
const ingress = (spec: object): Manifest => ({
  ...{ apiVersion: "networking.k8s.io/v1", kind: "Ingress", metadata },
  spec,
});

const table: readonly { name: string; object: Manifest; want: readonly string[] }[] = [
  {
    name: "a storage class for topologies that say nothing, or the same twice",
    object: storage("StorageClass", {
      provisioner: "p",
      allowedTopologies: [
        terms({ key: "zone", values: [] }, { key: "zone", values: ["a", "a"] }, { key: "b c", values: ["d"] }),
        terms({ key: "k", values: ["1", "2"] }),
        terms({ key: "k", values: ["2", "1"] }),
      ],
    }),
    want: [
      "allowedTopologies[0].matchLabelExpressions[0].values: Required value",
      'allowedTopologies[0].matchLabelExpressions[1].values[1]: Duplicate value: "a"',
      'allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: "zone"',
      `allowedTopologies[0].matchLabelExpressions[2].key: Invalid value: "b c": ${nameRule}`,
      'allowedTopologies[2].matchLabelExpressions: Duplicate value: ""',
    ],
  },
  {
    name: "a volume attributes class of a bad driver",
    object: storage("VolumeAttributesClass", { driverName: "a b", parameters: { "": "x" } }),
    want: [`driverName: Invalid value: "a b": ${nameRule}`, 'parameters: Invalid value: "": field can not be empty.'],
  },
  {
    name: "a CSI node with bad drivers",
    object: storage("CSINode", {
      spec: {
        drivers: [
          { name: "", nodeID: "n", topologyKeys: ["k", "k", ""] },
          { name: "A_b", nodeID: "n" },
        ],
      },
    }),
    want: [
      "spec.drivers[0].name: Required value",
      'spec.drivers[0].topologyKeys: Duplicate value: "k"',
      "spec.drivers[0].topologyKeys: Required value",
      `spec.drivers[1].name: Invalid value: "A_b": ${subdomainRule}`,
    ],
  },
  {
    name: "a CSI driver that reports too often",
    object: storage("CSIDriver", { spec: { nodeAllocatableUpdatePeriodSeconds: 9 } }),
    want: ["spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to 10 seconds"],
  },
  {
    name: "a runtime class with bad overhead and one toleration twice",
    object: {
      ...{ apiVersion: "node.k8s.io/v1", kind: "RuntimeClass", metadata, handler: "h" },
      overhead: { podFixed: { cpu: "-1", pods: "1" } },
      scheduling: {
        tolerations: [
          { key: "a", operator: "Exists" },
          { key: "a", operator: "Exists" },
        ],
      },
    },
    want: [
      'overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0',
      'overhead.limits[pods]: Invalid value: "pods": must be a standard resource for containers',
      'scheduling.tolerations[1]: Duplicate value: {"key":"a","operator":"Exists"}',
    ],
  },
  {
    name: "limits whose defaults and ratios contradict their bounds",
    object: limits({
      type: "Container",
      ...{ min: { cpu: "1", memory: "1Gi" }, max: { cpu: "2", memory: "2Gi" } },
      ...{ default: { cpu: "500m" }, defaultRequest: { cpu: "250m" } },
      maxLimitRequestRatio: { cpu: "500m", memory: "3" },
    }),
    want: [
      'spec.limits[0].defaultRequest[cpu]: Invalid value: "250m": min value 1 is greater than default request value 250m',
      'spec.limits[0].default[cpu]: Invalid value: "1": min value 1 is greater than default value 500m',
      'spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1',
      'spec.limits[0].maxLimitRequestRatio[memory]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000',
    ],
  },
  {
    name: "limits that promise more of what cannot be shared",
    object: limits({ type: "Container", default: { "a.b/gpu": "2" }, defaultRequest: { "a.b/gpu": "1" } }),
    want: [
      'spec.limits[0].defaultRequest[a.b/gpu]: Invalid value: "1": default value 2 must equal to defaultRequest value 1 in a.b/gpu',
    ],
  },
  {
    name: "endpoints that nobody can send to, and bad hints",
    object: slice(
      "IPv4",
      { addresses: ["127.0.0.1", "169.254.1.1", "0.0.0.0", "224.0.0.5", "::1"] },
      {
        addresses: ["10.0.0.1"],
        deprecatedTopology: { "a b": "c" },
        hints: { forZones: [{ name: "a b" }, { name: "z" }, { name: "z" }], forNodes: [{ name: "A" }] },
      },
    ),
    want: [
      'endpoints[0].addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
      'endpoints[0].addresses[1]: Invalid value: "169.254.1.1": may not be in the link-local range (169.254.0.0/16, fe80::/10)',
      'endpoints[0].addresses[2]: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)',
      'endpoints[0].addresses[3]: Invalid value: "224.0.0.5": may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)',
      'endpoints[0].addresses[4]: Invalid value: "::1": must be an IPv4 address',
      `endpoints[1].deprecatedTopology: Invalid value: "a b": ${nameRule}`,
      `endpoints[1].hints.forZones[0].name: Invalid value: "a b": ${labelRule}`,
      'endpoints[1].hints.forZones[2].name: Duplicate value: "z"',
      `endpoints[1].hints.forNodes[0].name: Invalid value: "A": ${subdomainRule}`,
    ],
  },
  {
    name: "IPv6 endpoints that nobody can send to",
    object: slice("IPv6", { addresses: ["::1", "fe80::1", "::", "ff02::1", "fd00::1"] }),
    want: [
      'endpoints[0].addresses[0]: Invalid value: "::1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
      'endpoints[0].addresses[1]: Invalid value: "fe80::1": may not be in the link-local range (169.254.0.0/16, fe80::/10)',
      'endpoints[0].addresses[2]: Invalid value: "::": may not be unspecified (::)',
      'endpoints[0].addresses[3]: Invalid value: "ff02::1": may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)',
    ],
  },
  {
    name: "names of hosts that are no full domains",
    object: slice("FQDN", { addresses: ["host", "a.example", "A.b"] }),
    want: [
      'endpoints[0].addresses[0]: Invalid value: "host": should be a domain with at least two segments separated by dots',
      `endpoints[0].addresses[2]: Invalid value: "A.b": ${subdomainRule}`,
    ],
  },
  {
    name: "an ingress class with bad parameters",
    object: {
      ...{ apiVersion: "networking.k8s.io/v1", kind: "IngressClass", metadata },
      spec: { controller: "a.b/c", parameters: { apiGroup: "A B", kind: "k/l", name: "" } },
    },
    want: [
      `spec.parameters.apiGroup: Invalid value: "A B": ${subdomainRule}`,
      "spec.parameters.kind: Invalid value: \"k/l\": may not contain '/'",
      "spec.parameters.name: Required value: name is required",
    ],
  },
  {
    name: "an ingress without types, backends and with a bad secret",
    object: ingress({
      rules: [
        {
          http: {
            paths: [
              { path: "x", backend: {} },
              { path: "x", pathType: "Foo", backend: {} },
            ],
          },
        },
      ],
      tls: [{ secretName: "A_" }],
    }),
    want: [
      "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
      'spec.rules[0].http.paths[1].pathType: Unsupported value: "Foo": supported values: "Exact", "ImplementationSpecific", "Prefix"',
      'spec.rules[0].http.paths[1].backend: Invalid value: "": resource or service backend is required',
      `spec.tls[0].secretName: Invalid value: "A_": ${subdomainRule}`,
    ],
  },
  {
    name: "an autoscaler whose targets say too much, too little or nothing",
    object: autoscaler(
      {
        type: "Resource",
        resource: { name: "", target: { type: "Utilization", averageUtilization: 0, averageValue: "1" } },
      },
      { type: "ContainerResource", containerResource: { name: "cpu", container: "", target: { type: "Utilization" } } },
      { type: "Pods", pods: { metric: { name: "" }, target: { type: "Foo", averageValue: "-1" } } },
      {
        type: "Object",
        object: { metric: { name: "m" }, describedObject: { kind: "", name: "n" }, target: { type: "Value" } },
      },
      {
        type: "External",
        external: { metric: { name: "m" }, target: { type: "Value", value: "1", averageValue: "1" } },
      },
    ),
    want: [
      "spec.metrics[0].resource.name: Required value: must specify a resource name",
      "spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0",
      "spec.metrics[0].resource.target.averageValue: Forbidden: may not set both a target raw value and a target utilization",
      "spec.metrics[1].containerResource.container: Required value: must specify a container",
      "spec.metrics[1].containerResource.target.averageUtilization: Required value: must set either a target raw value or a target utilization",
      "spec.metrics[2].pods.metric.name: Required value: must specify a metric name",
      'spec.metrics[2].pods.target.type: Invalid value: "Foo": must be either Utilization, Value, or AverageValue',
      'spec.metrics[2].pods.target.averageValue: Invalid value: "-1": must be positive',
      "spec.metrics[3].object.describedObject.kind: Required value",
      "spec.metrics[3].object.target.averageValue: Required value: must set either a target value or averageValue",
      "spec.metrics[4].external.target.value: Forbidden: may not set both a target value for metric and a per-pod target",
    ],
  },
  {
    name: "a flow schema for nobody in particular",
    object: {
      ...{ apiVersion: "flowcontrol.apiserver.k8s.io/v1", kind: "FlowSchema", metadata },
      spec: {
        priorityLevelConfiguration: { name: "p" },
        rules: [
          {
            subjects: [
              { kind: "User", group: { name: "g" } },
              { kind: "Group", group: { name: "" } },
              { kind: "ServiceAccount", serviceAccount: { name: "*", namespace: "" } },
            ],
            resourceRules: [{ verbs: ["*", "get"], apiGroups: ["*"], resources: ["pods"], namespaces: ["A"] }],
            nonResourceRules: [{ verbs: ["run"], nonResourceURLs: ["x", "/a*b", "/c//d", "/e/*"] }],
          },
        ],
      },
    },
    want: [
      "spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User'",
      "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
      "spec.rules[0].subjects[1].group.name: Required value",
      "spec.rules[0].subjects[2].serviceAccount.namespace: Required value: must specify namespace for service account",
      'spec.rules[0].resourceRules[0].verbs: Invalid value: ["*","get"]: if \'*\' is present, must not specify other verbs',
      `spec.rules[0].resourceRules[0].namespaces[0]: Invalid value: "A": each member of this list must be '*' or a DNS-1123 label; ${dnsLabelRule}`,
      'spec.rules[0].nonResourceRules[0].verbs: Unsupported value: ["run"]: supported values: "create", "delete", ' +
        '"deletecollection", "get", "list", "patch", "proxy", "update", "watch"',
      'spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: "x": must start with slash',
      'spec.rules[0].nonResourceRules[0].nonResourceURLs[1]: Invalid value: "/a*b": wildcard can only do suffix matching',
      'spec.rules[0].nonResourceRules[0].nonResourceURLs[2]: Invalid value: "/c//d": must not contain double slash',
    ],
  },
  {
    name: "a priority level with more hands than queues",
    object: {
      ...{ apiVersion: "flowcontrol.apiserver.k8s.io/v1", kind: "PriorityLevelConfiguration", metadata },
      spec: {
        type: "Limited",
        limited: {
          ...{ nominalConcurrencyShares: -1, borrowingLimitPercent: -1 },
          limitResponse: { type: "Queue", queuing: { queues: 4, handSize: 5, queueLengthLimit: 1 } },
        },
      },
    },
    want: [
      "spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
      "spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer",
      "spec.limited.limitResponse.queuing.handSize: Invalid value: 5: should not be greater than queues (4)",
    ],
  },
  {
    name: "a job that judges pods by conditions which do not exist",
    object: {
      ...{ apiVersion: "batch/v1", kind: "Job", metadata },
      spec: {
        podFailurePolicy: {
          rules: [{ action: "FailJob", onPodConditions: [{ type: "a b", status: "Maybe" }] }, { action: "Ignore" }],
        },
        template: { spec: { restartPolicy: "Never", containers: [{ name: "c", image: "i" }] } },
      },
    },
    want: [
      `spec.podFailurePolicy.rules[0].onPodConditions[0].type: Invalid value: "a b": ${nameRule}`,
      'spec.podFailurePolicy.rules[0].onPodConditions[0].status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown"',
      "spec.podFailurePolicy.rules[1]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
    ],
  },
  {
    name: "a claim whose sources are not whole, and differ",
    object: {
      ...{ apiVersion: "v1", kind: "PersistentVolumeClaim", metadata },
      spec: {
        ...{ accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
        dataSource: { kind: "Foo", name: "" },
        dataSourceRef: { apiGroup: "A b", kind: "Foo", name: "x" },
      },
    },
    want: [
      "spec.dataSource.name: Required value",
      "spec.dataSource: Invalid value: \"Foo\": must be 'PersistentVolumeClaim' when referencing the default apiGroup",
      `spec.dataSourceRef.apiGroup: Invalid value: "A b": ${subdomainRule}`,
      "spec: Invalid value: {}: must match dataSourceRef",
    ],
  },
  {
    name: "a volume of a host's path of an unknown type",
    object: {
      ...{ apiVersion: "v1", kind: "PersistentVolume", metadata },
      spec: { accessModes: ["ReadWriteOnce"], capacity: { storage: "1Gi" }, hostPath: { path: "/a", type: "Foo" } },
    },
    want: [
      'spec.hostPath.type: Unsupported value: "Foo": supported values: "", "BlockDevice", "CharDevice", "Directory", ' +
        '"DirectoryOrCreate", "File", "FileOrCreate", "Socket"',
    ],
  },
  {
    name: "a schedule with a time zone of its own",
    object: {
      ...{ apiVersion: "batch/v1", kind: "CronJob", metadata },
      spec: {
        schedule: "TZ=UTC 0 * * * *",
        jobTemplate: {
          spec: { template: { spec: { restartPolicy: "Never", containers: [{ name: "c", image: "i" }] } } },
        },
      },
    },
    want: [
      'spec.schedule: Invalid value: "TZ=UTC 0 * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead',
    ],
  },
];

for (const { name, object, want } of table) {
  test(`${object.kind}.validate() names every fault of ${name}`, () => {
    assert.deepEqual(created(object).errors, want);
  });
}
