/** Bad manifests and every complaint about each, in upstream's words. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { created, type Manifest } from "./kind-fixture.ts";

const container = { name: "web", image: "nginx:1.27" };

function pod(spec: object, metadata: object = { name: "web" }): Manifest {
  return { apiVersion: "v1", kind: "Pod", metadata, spec };
}

function deployment(spec: object): Manifest {
  const labels = { app: "web" };
  const template = { metadata: { labels }, spec: { containers: [container] } };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web" },
    spec: { selector: { matchLabels: labels }, template, ...spec },
  };
}

function service(spec: object): Manifest {
  return { apiVersion: "v1", kind: "Service", metadata: { name: "web" }, spec };
}

const subdomainRule =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with " +
  "an alphanumeric character (e.g. 'example.com', regex used for validation is " +
  "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const labelRule =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an " +
  "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

const table: readonly { name: string; object: Manifest; want: readonly string[] }[] = [
  {
    name: "a pod without a name",
    object: pod({ containers: [container] }, {}),
    want: ["metadata.name: Required value: name or generateName is required"],
  },
  {
    name: "a pod with a bad name and label",
    object: pod({ containers: [container] }, { name: "Web_1", labels: { "a b": "ok" } }),
    want: [
      `metadata.name: Invalid value: "Web_1": ${subdomainRule}`,
      "metadata.labels: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start " +
        "and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is " +
        "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
    ],
  },
  { name: "a pod without containers", object: pod({}), want: ["spec.containers: Required value"] },
  {
    name: "a container without name and image",
    object: pod({ containers: [{}] }),
    want: ["spec.containers[0].name: Required value", "spec.containers[0].image: Required value"],
  },
  {
    name: "two containers of one name, one named badly",
    object: pod({ containers: [container, container, { ...container, name: "A" }] }),
    want: [
      'spec.containers[1].name: Duplicate value: "web"',
      `spec.containers[2].name: Invalid value: "A": ${labelRule}`,
    ],
  },
  {
    name: "ports out of range, unnamed twice, of an unknown protocol",
    object: pod({
      containers: [
        {
          ...container,
          ports: [
            { containerPort: 70000 },
            { containerPort: 0 },
            { containerPort: 80, name: "http" },
            { containerPort: 81, name: "http", protocol: "HTTP", hostPort: -1 },
            { containerPort: 82, name: "much-too-long-a-name" },
          ],
        },
      ],
    }),
    want: [
      "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
      "spec.containers[0].ports[1].containerPort: Required value",
      'spec.containers[0].ports[3].name: Duplicate value: "http"',
      "spec.containers[0].ports[3].hostPort: Invalid value: -1: must be between 1 and 65535, inclusive",
      'spec.containers[0].ports[3].protocol: Unsupported value: "HTTP": supported values: "SCTP", "TCP", "UDP"',
      'spec.containers[0].ports[4].name: Invalid value: "much-too-long-a-name": must be no more than 15 characters',
    ],
  },
  {
    name: "mounts of nothing, twice in one place",
    object: pod({
      volumes: [{ name: "data" }, { name: "data" }],
      containers: [
        {
          ...container,
          volumeMounts: [
            { name: "data", mountPath: "/a" },
            { name: "data", mountPath: "/a", subPath: "../b" },
            { name: "lost", mountPath: "/c" },
          ],
        },
      ],
    }),
    want: [
      'spec.volumes[1].name: Duplicate value: "data"',
      'spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/a": must be unique',
      "spec.containers[0].volumeMounts[1].subPath: Invalid value: \"../b\": must not contain '..'",
      'spec.containers[0].volumeMounts[2].name: Not found: "lost"',
    ],
  },
  {
    name: "requests above limits and an unknown resource",
    object: pod({
      containers: [
        { ...container, resources: { requests: { cpu: "2", gpu: "1" }, limits: { cpu: "1", memory: "-1" } } },
      ],
    }),
    want: [
      'spec.containers[0].resources.limits[memory]: Invalid value: "-1": must be greater than or equal to 0',
      'spec.containers[0].resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0',
      'spec.containers[0].resources.requests[gpu]: Invalid value: "gpu": must be a standard resource for containers',
      'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
    ],
  },
  {
    name: "a probe with two handlers and one with none",
    object: pod({
      containers: [
        {
          ...container,
          livenessProbe: { httpGet: { port: 80 }, tcpSocket: { port: "x--y" }, successThreshold: 2 },
          readinessProbe: { periodSeconds: -1 },
        },
      ],
    }),
    want: [
      "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
      'spec.containers[0].livenessProbe.tcpSocket.port: Invalid value: "x--y": must not contain consecutive hyphens',
      "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
      "spec.containers[0].readinessProbe: Required value: must specify a handler type",
      "spec.containers[0].readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
    ],
  },
  {
    name: "environment from nowhere and from two places",
    object: pod({
      containers: [
        {
          ...container,
          env: [
            { name: "" },
            { name: "A", value: "1", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } },
            { name: "B", valueFrom: { fieldRef: { fieldPath: "spec.nonsense" } } },
            { name: "C=", valueFrom: {} },
          ],
          envFrom: [{}],
        },
      ],
    }),
    want: [
      "spec.containers[0].env[0].name: Required value",
      'spec.containers[0].env[1].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
      'spec.containers[0].env[2].valueFrom.fieldRef.fieldPath: Invalid value: "spec.nonsense": error converting fieldPath: field label not supported: spec.nonsense',
      "spec.containers[0].env[3].name: Invalid value: \"C=\": a valid environment variable name must consist only of printable ASCII characters other than '='",
      'spec.containers[0].env[3].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`',
      'spec.containers[0].envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`',
    ],
  },
  {
    name: "tolerations and policies that don't exist",
    object: pod({
      containers: [container],
      restartPolicy: "Sometimes",
      dnsPolicy: "None",
      tolerations: [{ operator: "Equal" }, { key: "a", operator: "Exists", value: "b", effect: "Never" }],
    }),
    want: [
      'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
      "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
      'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values and all keys"',
      'spec.tolerations[1].operator: Invalid value: {"key":"a","operator":"Exists","value":"b","effect":"Never"}: value must be empty when `operator` is \'Exists\'',
      'spec.tolerations[1].effect: Unsupported value: "Never": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"',
    ],
  },
  {
    name: "a deployment whose selector misses its template",
    object: deployment({ replicas: -1, selector: { matchLabels: { app: "other" } } }),
    want: [
      "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
      'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`',
    ],
  },
  {
    name: "a deployment without selector and with a pod that ends",
    object: deployment({
      selector: undefined,
      template: { spec: { containers: [container], restartPolicy: "Never" } },
    }),
    want: [
      "spec.selector: Required value",
      'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
    ],
  },
  {
    name: "a rolling update that can't move, or has no percentage",
    object: deployment({ strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: "0%" } }, minReadySeconds: 600 }),
    want: [
      'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0',
      "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds",
    ],
  },
  {
    name: "a service with bad and duplicate ports",
    object: service({
      ports: [
        { port: 70000, name: "a" },
        { port: 80, name: "a", nodePort: 30080 },
        { port: 80, targetPort: "http_x" },
      ],
    }),
    want: [
      "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
      "spec.ports[0].targetPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
      'spec.ports[1].name: Duplicate value: "a"',
      "spec.ports[1].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
      "spec.ports[2].name: Required value",
      'spec.ports[2].targetPort: Invalid value: "http_x": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)',
      'spec.ports[2]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}',
    ],
  },
  {
    name: "a service of no type, without ports",
    object: service({ type: "Magic", sessionAffinity: "Always" }),
    want: [
      "spec.ports: Required value",
      'spec.sessionAffinity: Unsupported value: "Always": supported values: "ClientIP", "None"',
      'spec.type: Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
    ],
  },
  {
    name: "an external name with cluster IP",
    object: service({ type: "ExternalName", externalName: "-bad-", clusterIP: "10.0.0.1" }),
    want: [
      "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
      `spec.externalName: Invalid value: "-bad-": ${subdomainRule}`,
    ],
  },
  {
    name: "config map keys",
    object: {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "c" },
      data: { "a/b": "", "..": "" },
      binaryData: { "..": "AA==" },
    },
    want: [
      "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
      "data[..]: Invalid value: \"..\": must not be '..'",
      'data[..]: Invalid value: "..": duplicate of key present in binaryData',
      "binaryData[..]: Invalid value: \"..\": must not be '..'",
    ],
  },
  {
    name: "a TLS secret without its key",
    object: {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "s" },
      type: "kubernetes.io/tls",
      data: { "tls.crt": "AA==" },
    },
    want: ["data[tls.key]: Required value"],
  },
  {
    name: "a role without verbs and a binding to nothing",
    object: {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "RoleBinding",
      metadata: { name: "b" },
      roleRef: { kind: "Role", name: "" },
      subjects: [{ kind: "Robot", name: "r2" }],
    },
    want: [
      "roleRef.name: Required value",
      'subjects[0].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"',
    ],
  },
  {
    name: "a cron job that never fits",
    object: {
      apiVersion: "batch/v1",
      kind: "CronJob",
      metadata: { name: "c" },
      spec: { schedule: "* * *", jobTemplate: { spec: { template: { spec: { containers: [container] } } } } },
    },
    want: [
      'spec.schedule: Invalid value: "* * *": expected exactly 5 fields, found 3: [* * *]',
      'spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
    ],
  },
  {
    name: "an endpoint slice of mixed addresses",
    object: {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: "e" },
      addressType: "IPv4",
      endpoints: [{ addresses: ["10.0.0.1", "::1"] }, { addresses: [] }],
    },
    want: [
      'endpoints[0].addresses[1]: Invalid value: "::1": must be an IPv4 address',
      "endpoints[1].addresses: Required value: must contain at least 1 address",
    ],
  },
  {
    name: "a quota with scopes that contradict each other, and one that says nothing of Services",
    object: {
      apiVersion: "v1",
      kind: "ResourceQuota",
      metadata: { name: "q" },
      spec: { hard: { services: "1" }, scopes: ["Terminating", "NotTerminating"] },
    },
    want: [
      'spec.scopes: Invalid value: ["Terminating","NotTerminating"]: unsupported scope applied to resource',
      'spec.scopes: Invalid value: ["Terminating","NotTerminating"]: unsupported scope applied to resource',
      'spec.scopes: Invalid value: ["Terminating","NotTerminating"]: conflicting scopes',
    ],
  },
];

for (const { name, object, want } of table) {
  test(`validate() names every mistake when given ${name}`, () => {
    assert.deepEqual(created(object).errors, want);
  });
}
