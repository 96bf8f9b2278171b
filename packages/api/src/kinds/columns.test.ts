/** What kubectl shows: cells of every column, wide ones after the bar. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { kindOf, type Manifest } from "./kind-fixture.ts";

const now = Date.parse("2026-01-02T00:00:00Z");
const born = "2026-01-01T23:55:00Z";

/** "web 0/1 Pending 0 5m | <none>" */
function row(manifest: Manifest): string {
  const kind = kindOf(manifest);
  const metadata = { creationTimestamp: born, ...manifest.metadata };
  const object = { ...manifest, metadata } as unknown as KubeObject;
  const cells = (priority: number) =>
    kind.columns
      .filter((column) => column.priority === priority)
      .map((column) => String(column.cell(object, now)))
      .join(" ; ");
  return [cells(0), cells(1)].filter((text) => text !== "").join(" | ");
}

const spec = {
  containers: [
    { name: "a", image: "x" },
    { name: "b", image: "y" },
  ],
};
const initSpec = { ...spec, initContainers: [{ name: "i" }, { name: "s", restartPolicy: "Always" }, { name: "j" }] };

function pod(status: object, more: { spec?: object; metadata?: object } = {}): Manifest {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", ...more.metadata },
    spec: more.spec ?? spec,
    status,
  };
}

const running = (name: string, more: object = {}) => ({
  name,
  ready: true,
  restartCount: 0,
  state: { running: {} },
  ...more,
});

const pods: readonly { name: string; object: Manifest; want: string }[] = [
  { name: "a new pod", object: pod({ phase: "Pending" }), want: "web ; 0/2 ; Pending ; 0 ; 5m" },
  {
    name: "a gated pod",
    object: pod({
      phase: "Pending",
      conditions: [{ type: "PodScheduled", status: "False", reason: "SchedulingGated" }],
    }),
    want: "web ; 0/2 ; SchedulingGated ; 0 ; 5m",
  },
  {
    name: "a pod in its second init container",
    object: pod(
      {
        phase: "Pending",
        initContainerStatuses: [
          { name: "i", restartCount: 2, state: { terminated: { exitCode: 0 } } },
          { name: "s", restartCount: 0, ready: true, started: true, state: { running: {} } },
          { name: "j", restartCount: 0, state: { waiting: { reason: "PodInitializing" } } },
        ],
        containerStatuses: [
          { name: "a", restartCount: 0, ready: false, state: { waiting: { reason: "PodInitializing" } } },
        ],
      },
      { spec: initSpec },
    ),
    want: "web ; 1/3 ; Init:2/3 ; 2 ; 5m",
  },
  {
    name: "a failing init container",
    object: pod(
      {
        phase: "Pending",
        initContainerStatuses: [{ name: "i", restartCount: 3, state: { waiting: { reason: "CrashLoopBackOff" } } }],
      },
      { spec: initSpec },
    ),
    want: "web ; 0/3 ; Init:CrashLoopBackOff ; 3 ; 5m",
  },
  {
    name: "an init container that exits with 7",
    object: pod(
      {
        phase: "Pending",
        initContainerStatuses: [{ name: "i", restartCount: 0, state: { terminated: { exitCode: 7 } } }],
      },
      { spec: initSpec },
    ),
    want: "web ; 0/3 ; Init:ExitCode:7 ; 0 ; 5m",
  },
  {
    name: "a running pod",
    object: pod({ phase: "Running", containerStatuses: [running("a"), running("b")] }),
    want: "web ; 2/2 ; Running ; 0 ; 5m",
  },
  {
    name: "a restarted container",
    object: pod({
      phase: "Running",
      containerStatuses: [
        running("a", {
          restartCount: 1,
          lastState: { terminated: { exitCode: 1, finishedAt: "2026-01-01T23:59:55Z" } },
        }),
        running("b"),
      ],
    }),
    want: "web ; 2/2 ; Running ; 1 (5s ago) ; 5m",
  },
  {
    name: "a crashing container",
    object: pod({
      phase: "Running",
      containerStatuses: [
        { name: "a", ready: false, restartCount: 4, state: { waiting: { reason: "CrashLoopBackOff" } } },
        running("b"),
      ],
    }),
    want: "web ; 1/2 ; CrashLoopBackOff ; 4 ; 5m",
  },
  {
    name: "a completed pod",
    object: pod({
      phase: "Succeeded",
      containerStatuses: [
        { name: "a", ready: false, restartCount: 0, state: { terminated: { exitCode: 0, reason: "Completed" } } },
        { name: "b", ready: false, restartCount: 0, state: { terminated: { exitCode: 0, reason: "Completed" } } },
      ],
    }),
    want: "web ; 0/2 ; Completed ; 0 ; 5m",
  },
  {
    name: "one container done, one running",
    object: pod({
      phase: "Running",
      containerStatuses: [
        { name: "a", ready: false, restartCount: 0, state: { terminated: { exitCode: 0, reason: "Completed" } } },
        running("b"),
      ],
    }),
    want: "web ; 1/2 ; NotReady ; 0 ; 5m",
  },
  {
    name: "a killed container without a reason",
    object: pod({
      phase: "Failed",
      containerStatuses: [{ name: "a", restartCount: 0, state: { terminated: { exitCode: 137, signal: 9 } } }],
    }),
    want: "web ; 0/2 ; Signal:9 ; 0 ; 5m",
  },
  {
    name: "an evicted pod",
    object: pod({ phase: "Failed", reason: "Evicted" }),
    want: "web ; 0/2 ; Evicted ; 0 ; 5m",
  },
  {
    name: "a pod on its way out",
    object: pod(
      { phase: "Running", containerStatuses: [running("a"), running("b")] },
      { metadata: { deletionTimestamp: "2026-01-02T00:00:30Z" } },
    ),
    want: "web ; 2/2 ; Terminating ; 0 ; 5m",
  },
  {
    name: "a pod on a lost node",
    object: pod({ phase: "Running", reason: "NodeLost" }, { metadata: { deletionTimestamp: "2026-01-02T00:00:30Z" } }),
    want: "web ; 0/2 ; Unknown ; 0 ; 5m",
  },
];

for (const { name, object, want } of pods) {
  test(`columns of a Pod show ${name}`, () => {
    assert.equal(row(object).split(" | ")[0], want);
  });
}

const containers = [{ name: "c", image: "nginx" }];
const workload = {
  replicas: 3,
  selector: { matchLabels: { b: "2", a: "1" } },
  template: { spec: { containers } },
};

const others: readonly { name: string; object: Manifest; want: string }[] = [
  {
    name: "a placed pod",
    object: pod(
      { phase: "Pending", podIPs: [{ ip: "10.1.2.3" }] },
      { spec: { ...spec, nodeName: "n1", readinessGates: [{ conditionType: "x" }] } },
    ),
    want: "web ; 0/2 ; Pending ; 0 ; 5m | 10.1.2.3 ; n1 ; <none> ; 0/1",
  },
  {
    name: "a deployment",
    object: {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "web" },
      spec: workload,
      status: { readyReplicas: 2, updatedReplicas: 3, availableReplicas: 1 },
    },
    want: "web ; 2/3 ; 3 ; 1 ; 5m | c ; nginx ; a=1,b=2",
  },
  {
    name: "a replica set",
    object: {
      apiVersion: "apps/v1",
      kind: "ReplicaSet",
      metadata: { name: "web" },
      spec: workload,
      status: { replicas: 3, readyReplicas: 2 },
    },
    want: "web ; 3 ; 3 ; 2 ; 5m | c ; nginx ; a=1,b=2",
  },
  {
    name: "a stateful set",
    object: {
      apiVersion: "apps/v1",
      kind: "StatefulSet",
      metadata: { name: "db" },
      spec: workload,
      status: { readyReplicas: 3 },
    },
    want: "db ; 3/3 ; 5m | c ; nginx",
  },
  {
    name: "a cordoned node",
    object: {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: "n1", labels: { "node-role.kubernetes.io/worker": "", "kubernetes.io/role": "edge" } },
      spec: { unschedulable: true },
      status: {
        conditions: [{ type: "Ready", status: "True" }],
        addresses: [{ type: "InternalIP", address: "10.0.0.1" }],
        nodeInfo: { kubeletVersion: "v1.36.0", osImage: "Debian", kernelVersion: "6.18" },
      },
    },
    want: "n1 ; Ready,SchedulingDisabled ; edge,worker ; 5m ; v1.36.0 | 10.0.0.1 ; <none> ; Debian ; 6.18 ; <unknown>",
  },
  {
    name: "a node port service",
    object: {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web" },
      spec: {
        type: "NodePort",
        clusterIPs: ["10.96.0.5"],
        ports: [
          { port: 80, nodePort: 30080, protocol: "TCP" },
          { port: 53, protocol: "UDP" },
        ],
        selector: { app: "web" },
      },
    },
    want: "web ; NodePort ; 10.96.0.5 ; <none> ; 80:30080/TCP,53/UDP ; 5m | app=web",
  },
  {
    name: "a waiting load balancer",
    object: { apiVersion: "v1", kind: "Service", metadata: { name: "web" }, spec: { type: "LoadBalancer" } },
    want: "web ; LoadBalancer ; <none> ; <pending> ; <none> ; 5m | <none>",
  },
  {
    name: "endpoints of many addresses",
    object: {
      apiVersion: "v1",
      kind: "Endpoints",
      metadata: { name: "web" },
      subsets: [{ addresses: [{ ip: "10.0.0.1" }, { ip: "10.0.0.2" }], ports: [{ port: 80 }, { port: 443 }] }],
    },
    want: "web ; 10.0.0.1:80,10.0.0.2:80,10.0.0.1:443 + 1 more... ; 5m",
  },
  {
    name: "an endpoint slice",
    object: {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: "web-1" },
      addressType: "IPv4",
      ports: [{ port: 80 }, { name: "any" }],
      endpoints: [
        { addresses: ["10.0.0.1"] },
        { addresses: ["10.0.0.2"] },
        { addresses: ["10.0.0.3"] },
        { addresses: ["10.0.0.4"] },
      ],
    },
    want: "web-1 ; IPv4 ; 80,any ; 10.0.0.1,10.0.0.2,10.0.0.3 + 1 more... ; 5m",
  },
  {
    name: "an event",
    object: {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: "web.1" },
      type: "Warning",
      reason: "BackOff",
      involvedObject: { kind: "Pod", name: "web", fieldPath: "spec.containers{c}" },
      source: { component: "kubelet", host: "n1" },
      message: " back-off \n",
      firstTimestamp: "2026-01-01T23:50:00Z",
      lastTimestamp: "2026-01-01T23:59:00Z",
      count: 7,
    },
    want: "60s ; Warning ; BackOff ; pod/web ; back-off | spec.containers{c} ; kubelet, n1 ; 10m ; 7 ; web.1",
  },
  {
    name: "an event of the newer API",
    object: {
      apiVersion: "events.k8s.io/v1",
      kind: "Event",
      metadata: { name: "web.2" },
      type: "Normal",
      reason: "Scheduled",
      regarding: { kind: "Pod", name: "web" },
      note: "bound",
      eventTime: "2026-01-01T23:59:30.000000Z",
      reportingController: "scheduler",
      reportingInstance: "s1",
    },
    want: "30s ; Normal ; Scheduled ; pod/web ; bound |  ; scheduler, s1 ; 30s ; 1 ; web.2",
  },
  {
    name: "a running job",
    object: {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name: "once" },
      spec: { completions: 3, template: { spec: { containers } } },
      status: { succeeded: 1, startTime: "2026-01-01T23:58:00Z" },
    },
    want: "once ; Running ; 1/3 ; 2m ; 5m | c ; nginx ; <none>",
  },
  {
    name: "a role binding",
    object: {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRoleBinding",
      metadata: { name: "b" },
      roleRef: { kind: "ClusterRole", name: "view" },
      subjects: [
        { kind: "User", name: "ann" },
        { kind: "ServiceAccount", name: "r", namespace: "ns" },
      ],
    },
    want: "b ; ClusterRole/view ; 5m | ann ;  ; ns/r",
  },
  {
    name: "an autoscaler",
    object: {
      apiVersion: "autoscaling/v2",
      kind: "HorizontalPodAutoscaler",
      metadata: { name: "web" },
      spec: {
        minReplicas: 2,
        maxReplicas: 5,
        scaleTargetRef: { kind: "Deployment", name: "web" },
        metrics: [
          { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } } },
        ],
      },
      status: {
        currentReplicas: 2,
        currentMetrics: [{ type: "Resource", resource: { name: "cpu", current: { averageUtilization: 12 } } }],
      },
    },
    want: "web ; Deployment/web ; cpu: 12%/80% ; 2 ; 5 ; 2 ; 5m",
  },
  {
    name: "an issued certificate request",
    object: {
      apiVersion: "certificates.k8s.io/v1",
      kind: "CertificateSigningRequest",
      metadata: { name: "c" },
      spec: { signerName: "kubernetes.io/kubelet-serving", username: "system:node:n1" },
      status: { conditions: [{ type: "Approved", status: "True" }], certificate: "AA==" },
    },
    want: "c ; 5m ; kubernetes.io/kubelet-serving ; system:node:n1 ; <none> ; Approved,Issued",
  },
  {
    name: "a claim whose class stands in the old annotation",
    object: {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: "c", annotations: { "volume.beta.kubernetes.io/storage-class": "old" } },
      spec: { storageClassName: "new" },
      status: { phase: "Pending" },
    },
    want: "c ; Pending ;  ;  ;  ; old ; <unset> ; 5m | <unset>",
  },
  {
    name: "an ingress with many rules and a class in the old annotation",
    object: {
      apiVersion: "networking.k8s.io/v1",
      kind: "Ingress",
      metadata: { name: "i", annotations: { "kubernetes.io/ingress.class": "nginx" } },
      spec: { rules: [{ host: "a" }, { host: "b" }, { host: "c" }, {}] },
    },
    want: "i ; <none> ; a,b,c + 1 more... ;  ; 80 ; 5m",
  },
  {
    name: "a slice of devices that no node owns",
    object: {
      apiVersion: "resource.k8s.io/v1",
      kind: "ResourceSlice",
      metadata: { name: "s" },
      spec: { allNodes: true, driver: "gpu.example.com", pool: { name: "p" } },
    },
    want: "s ;  ; gpu.example.com ; p ; 5m",
  },
  {
    name: "a slice of endpoints on any port",
    object: {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: "s" },
      addressType: "IPv4",
      ports: [{ name: "" }],
      endpoints: [{ addresses: ["10.0.0.1", "10.0.0.2"] }, { addresses: ["10.0.0.3", "10.0.0.4"] }],
    },
    want: "s ; IPv4 ; <unset> ; 10.0.0.1,10.0.0.2,10.0.0.3 + 1 more... ; 5m",
  },
];

for (const { name, object, want } of others) {
  test(`columns show ${name}`, () => {
    assert.equal(row(object), want);
  });
}

const phases = [
  { phase: "Running", want: [] },
  { phase: "Succeeded", want: ["Completed True Succeeded The pod has completed successfully."] },
  { phase: "Failed", want: ["Completed True Failed The pod failed."] },
];

for (const { phase, want } of phases) {
  test(`rowConditions() of a pod that is ${phase}`, () => {
    const object = pod({ phase }) as unknown as KubeObject;
    const conditions = kindOf({ apiVersion: "v1", kind: "Pod" }).rowConditions(object);
    assert.deepEqual(
      conditions.map((c) => `${c.type} ${c.status} ${c.reason} ${c.message}`),
      want,
    );
  });
}

test("compareRows() of FlowSchemas is by precedence, then by name", () => {
  const schema = (name: string, matchingPrecedence: number) =>
    ({ metadata: { name }, spec: { matchingPrecedence } }) as unknown as KubeObject;
  const kind = kindOf({ apiVersion: "flowcontrol.apiserver.k8s.io/v1", kind: "FlowSchema" });
  const sorted = [schema("a", 9000), schema("c", 100), schema("b", 100)].sort((a, b) => kind.compareRows?.(a, b) ?? 0);
  assert.deepEqual(
    sorted.map((object) => object.metadata.name),
    ["b", "c", "a"],
  );
});
