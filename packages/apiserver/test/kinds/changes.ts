/**
 * What updates may change, of every kind: a change of the spec that is taken, one of the status, and changes that are refused.
 * Paths are dotted; undefined removes the field.
 */

export type Change = Readonly<Record<string, unknown>>;

export interface KindChanges {
  readonly spec?: Change;
  /** The generation after that, and after a change of annotations besides; default: one more, and no more. */
  readonly generations?: readonly [number, number];
  readonly status?: Change;
  readonly refused?: readonly Refusal[];
}

export interface Refusal {
  /** What the object is made with, besides its fields. */
  readonly from?: Change;
  readonly set: Change;
  /** The causes, "field: message", in order. */
  readonly want: readonly string[];
}

const selector = { "spec.selector.matchLabels": { c: "d" }, "spec.template.metadata.labels": { c: "d" } };
const frozenSelector: Refusal = {
  set: selector,
  want: ['spec.selector: Invalid value: {"matchLabels":{"c":"d"}}: field is immutable'],
};
const frozenWhenSet = (field: string) => `${field}: Forbidden: field is immutable when \`immutable\` is set`;
const image = { "spec.template.spec.containers.0.image": "z" };
const condition = { type: "T", status: "True", lastTransitionTime: "2026-01-01T00:00:00Z", reason: "R", message: "m" };
const otherRole = { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "edit" };
const frozenRole: Refusal = {
  set: { roleRef: otherRole },
  want: [`roleRef: Invalid value: ${JSON.stringify(otherRole)}: cannot change roleRef`],
};

export const changes: Readonly<Record<string, KindChanges>> = {
  "v1 Pod": { spec: { "spec.containers.0.image": "j" }, status: { "status.phase": "Running" } },
  "v1 ConfigMap": {
    spec: { data: { a: "1" } },
    refused: [
      { from: { immutable: true }, set: { data: { a: "1" } }, want: [frozenWhenSet("data")] },
      {
        from: { immutable: true },
        set: { immutable: undefined, binaryData: { a: "AA==" } },
        want: [frozenWhenSet("immutable"), frozenWhenSet("binaryData")],
      },
    ],
  },
  "v1 Secret": {
    spec: { data: { a: "AA==" } },
    refused: [
      { set: { type: "x/y" }, want: ['type: Invalid value: "x/y": field is immutable'] },
      { from: { immutable: true }, set: { data: { a: "AA==" } }, want: [frozenWhenSet("data")] },
    ],
  },
  "v1 Endpoints": { spec: { "subsets.0.ports.0.port": 81 } },
  "v1 Event": { spec: { reason: "other" } },
  "events.k8s.io/v1 Event": {
    spec: { series: { count: 2, lastObservedTime: "2026-01-01T00:00:01.000000Z" } },
    refused: [
      {
        set: { reason: "other", "regarding.name": "y", series: { count: 1 } },
        want: [
          'series.count: Invalid value: "": should be at least 2',
          "series.lastObservedTime: Required value",
          'involvedObject: Invalid value: {"kind":"Pod","namespace":"default","name":"y"}: field is immutable',
          'reason: Invalid value: "other": field is immutable',
        ],
      },
    ],
  },
  "v1 LimitRange": { spec: { "spec.limits.0.max.cpu": "3" } },
  "v1 Namespace": { spec: { "metadata.labels.x": "y" } },
  "v1 Node": {
    spec: { "spec.unschedulable": true },
    status: { "status.phase": "Running" },
    refused: [
      {
        from: { "spec.podCIDR": "10.1.0.0/24", "spec.providerID": "a" },
        set: { "spec.podCIDR": "10.2.0.0/24", "spec.podCIDRs": ["10.2.0.0/24"], "spec.providerID": "b" },
        want: [
          'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
          'spec.providerID: Forbidden: node updates may not change providerID except from "" to valid',
        ],
      },
    ],
  },
  "v1 PersistentVolume": {
    spec: { "spec.capacity": { storage: "2Gi" } },
    status: { "status.phase": "Available" },
    refused: [
      {
        set: { "spec.hostPath.path": "/y", "spec.volumeMode": "Block" },
        want: [
          "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation",
          'volumeMode: Invalid value: "Block": field is immutable',
        ],
      },
    ],
  },
  "v1 PersistentVolumeClaim": { spec: { "metadata.labels.x": "y" }, status: { "status.phase": "Lost" } },
  "v1 PodTemplate": { spec: { "template.spec.containers.0.image": "z" } },
  "v1 ReplicationController": {
    spec: { "spec.replicas": 2 },
    status: { "status.replicas": 1 },
    refused: [
      {
        set: { "spec.selector": { c: "d" } },
        want: ['spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`'],
      },
    ],
  },
  "v1 ResourceQuota": { spec: { "spec.hard.pods": "5" }, status: { "status.hard": { pods: "5" } } },
  "v1 ServiceAccount": { spec: { automountServiceAccountToken: false } },
  "v1 Service": {
    spec: { "spec.selector": { a: "b" } },
    status: { "status.loadBalancer": { ingress: [{ ip: "1.2.3.4", ipMode: "VIP" }] } },
    refused: [
      {
        set: { "spec.clusterIP": "10.96.5.5", "spec.clusterIPs": ["10.96.5.5"] },
        want: ['spec.clusterIPs[0]: Invalid value: ["10.96.5.5"]: may not change once set'],
      },
      {
        from: { "spec.type": "LoadBalancer" },
        set: { "spec.loadBalancerClass": "a.b/c" },
        want: ['spec.loadBalancerClass: Invalid value: "a.b/c": may not change once set'],
      },
    ],
  },
  "apps/v1 Deployment": {
    spec: { "spec.replicas": 2 },
    // Controllers write the revision into an annotation of the Deployment, and wait for what follows from it.
    generations: [2, 3],
    status: { "status.replicas": 1 },
    refused: [frozenSelector],
  },
  "apps/v1 ReplicaSet": {
    spec: { "spec.replicas": 2 },
    status: { "status.replicas": 1 },
    refused: [frozenSelector],
  },
  "apps/v1 DaemonSet": {
    spec: image,
    status: { "status.numberReady": 1 },
    refused: [frozenSelector],
  },
  "apps/v1 StatefulSet": {
    spec: { "spec.replicas": 3, "spec.minReadySeconds": 4, "spec.revisionHistoryLimit": 3 },
    status: { "status.replicas": 1 },
    refused: [
      {
        set: { "spec.serviceName": "x" },
        want: [
          "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        ],
      },
    ],
  },
  "apps/v1 ControllerRevision": {
    spec: { revision: 2 },
    refused: [{ set: { data: { a: 2 } }, want: ['data: Invalid value: {"a":2}: field is immutable'] }],
  },
  "autoscaling/v2 HorizontalPodAutoscaler": {
    spec: { "spec.maxReplicas": 4 },
    status: { "status.desiredReplicas": 2 },
    refused: [
      {
        set: { "spec.maxReplicas": 0, "spec.minReplicas": 0 },
        want: [
          "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
          "spec.maxReplicas: Invalid value: 0: must be greater than 0",
          "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas",
        ],
      },
    ],
  },
  "autoscaling/v1 HorizontalPodAutoscaler": {
    spec: { "spec.maxReplicas": 4 },
    status: { "status.desiredReplicas": 2 },
  },
  "batch/v1 Job": {
    spec: { "spec.parallelism": 3 },
    status: { "status.ready": 1 },
    refused: [
      {
        set: { "spec.completionMode": "Indexed" },
        want: ['spec.completionMode: Invalid value: "Indexed": field is immutable'],
      },
      { set: { "spec.completions": 2 }, want: ["spec.completions: Invalid value: 2: field is immutable"] },
      { set: { "spec.managedBy": "a.b/c" }, want: ['spec.managedBy: Invalid value: "a.b/c": field is immutable'] },
    ],
  },
  "batch/v1 CronJob": {
    spec: { "spec.suspend": true },
    status: { "status.lastScheduleTime": "2026-01-01T00:00:00Z" },
    refused: [
      {
        set: { "spec.timeZone": "Nowhere", "spec.schedule": "x", "spec.concurrencyPolicy": "Maybe" },
        want: [
          'spec.schedule: Invalid value: "x": expected exactly 5 fields, found 1: [x]',
          'spec.timeZone: Invalid value: "Nowhere": unknown time zone Nowhere',
          'spec.concurrencyPolicy: Unsupported value: "Maybe": supported values: "Allow", "Forbid", "Replace"',
        ],
      },
    ],
  },
  "policy/v1 PodDisruptionBudget": { spec: { "spec.minAvailable": 2 }, status: { "status.currentHealthy": 2 } },
  "certificates.k8s.io/v1 CertificateSigningRequest": { spec: { "metadata.labels.x": "y" } },
  "networking.k8s.io/v1 Ingress": {
    spec: { "spec.ingressClassName": "c" },
    status: { "status.loadBalancer": { ingress: [{ ip: "1.2.3.4" }] } },
  },
  "networking.k8s.io/v1 IngressClass": {
    spec: { "spec.parameters.name": "z" },
    refused: [
      { set: { "spec.controller": "x.y/z" }, want: ['spec.controller: Invalid value: "x.y/z": field is immutable'] },
    ],
  },
  "networking.k8s.io/v1 IPAddress": {
    spec: { "metadata.labels.x": "y" },
    refused: [
      {
        set: { "spec.parentRef.name": "q" },
        want: [
          'spec.parentRef: Invalid value: {"resource":"services","name":"q","namespace":"default"}: field is immutable',
        ],
      },
    ],
  },
  "networking.k8s.io/v1 NetworkPolicy": { spec: { "spec.podSelector": { matchLabels: { a: "b" } } } },
  "networking.k8s.io/v1 ServiceCIDR": {
    spec: { "metadata.labels.x": "y" },
    status: {
      "status.conditions": [
        { type: "Ready", status: "True", reason: "R", message: "", lastTransitionTime: "2026-01-01T00:00:00Z" },
      ],
    },
    refused: [
      {
        set: { "spec.cidrs": ["10.201.0.0/16"] },
        want: ['spec.cidrs: Invalid value: ["10.201.0.0/16"]: field is immutable'],
      },
    ],
  },
  "rbac.authorization.k8s.io/v1 ClusterRole": {
    spec: { rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }] },
  },
  "rbac.authorization.k8s.io/v1 Role": { spec: { rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }] } },
  "rbac.authorization.k8s.io/v1 ClusterRoleBinding": { spec: { "subjects.0.name": "v" }, refused: [frozenRole] },
  "rbac.authorization.k8s.io/v1 RoleBinding": { spec: { "subjects.0.name": "v" }, refused: [frozenRole] },
  "storage.k8s.io/v1 CSIDriver": {
    spec: { "spec.requiresRepublish": true },
    generations: [1, 1],
    refused: [
      {
        set: { "spec.attachRequired": false, "spec.volumeLifecycleModes": ["Ephemeral"] },
        want: [
          "spec.attachedRequired: Invalid value: false: field is immutable",
          'spec.volumeLifecycleModes: Invalid value: ["Ephemeral"]: field is immutable',
        ],
      },
    ],
  },
  "storage.k8s.io/v1 CSINode": {
    spec: { "spec.drivers.0.allocatable": { count: 3 } },
    refused: [
      {
        set: { "spec.drivers.0.nodeID": "z" },
        want: ['spec.drivers: Invalid value: {"name":"d","nodeID":"z","topologyKeys":[]}: field is immutable'],
      },
    ],
  },
  "storage.k8s.io/v1 CSIStorageCapacity": {
    spec: { capacity: "1Gi" },
    refused: [
      {
        set: { storageClassName: "y", nodeTopology: { matchLabels: { a: "b" } } },
        want: [
          'nodeTopology: Invalid value: {"matchLabels":{"a":"b"}}: field is immutable',
          'storageClassName: Invalid value: "y": field is immutable',
        ],
      },
    ],
  },
  "storage.k8s.io/v1 StorageClass": {
    spec: { allowVolumeExpansion: true },
    refused: [
      {
        set: {
          parameters: { a: "b" },
          provisioner: "z",
          reclaimPolicy: "Retain",
          volumeBindingMode: "WaitForFirstConsumer",
        },
        want: [
          "parameters: Forbidden: updates to parameters are forbidden.",
          "provisioner: Forbidden: updates to provisioner are forbidden.",
          "reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden.",
          'volumeBindingMode: Invalid value: "WaitForFirstConsumer": field is immutable',
        ],
      },
    ],
  },
  "storage.k8s.io/v1 VolumeAttachment": {
    spec: { "metadata.labels.x": "y" },
    status: { "status.attached": true },
    refused: [
      {
        set: { "spec.nodeName": "q" },
        want: [
          'spec: Invalid value: {"attacher":"a","nodeName":"q","source":{"persistentVolumeName":"m"}}: field is immutable',
        ],
      },
    ],
  },
  "storage.k8s.io/v1 VolumeAttributesClass": {
    spec: { "metadata.labels.x": "y" },
    refused: [
      {
        set: { driverName: "q", parameters: { c: "d" } },
        want: [
          "driverName: Forbidden: updates to driverName are forbidden.",
          "parameters: Forbidden: updates to parameters are forbidden.",
        ],
      },
    ],
  },
  "scheduling.k8s.io/v1 PriorityClass": {
    spec: { description: "x" },
    generations: [1, 1],
    refused: [
      {
        set: { value: 7, preemptionPolicy: "Never" },
        want: [
          "value: Forbidden: may not be changed in an update.",
          'preemptionPolicy: Invalid value: "Never": field is immutable',
        ],
      },
    ],
  },
  "coordination.k8s.io/v1 Lease": { spec: { "spec.holderIdentity": "x" } },
  "node.k8s.io/v1 RuntimeClass": {
    spec: { "metadata.labels.x": "y" },
    refused: [{ set: { handler: "q" }, want: ['handler: Invalid value: "q": field is immutable'] }],
  },
  "discovery.k8s.io/v1 EndpointSlice": {
    spec: { "endpoints.0.addresses": ["10.1.1.2"] },
    refused: [
      {
        set: { addressType: "FQDN", endpoints: [] },
        want: ['addressType: Invalid value: "FQDN": field is immutable'],
      },
    ],
  },
  "resource.k8s.io/v1 DeviceClass": { spec: { "spec.selectors": [{ cel: { expression: "true" } }] } },
  "resource.k8s.io/v1 ResourceClaim": { spec: { "metadata.labels.x": "y" } },
  "resource.k8s.io/v1 ResourceClaimTemplate": { spec: { "metadata.labels.x": "y" } },
  "resource.k8s.io/v1 ResourceSlice": {
    spec: { "spec.devices": [] },
    refused: [
      {
        set: { "spec.driver": "q", "spec.nodeName": "z", "spec.pool.name": "y" },
        want: [
          'spec.pool.name: Invalid value: "y": field is immutable',
          'spec.driver: Invalid value: "q": field is immutable',
          'spec.nodeName: Invalid value: "z": field is immutable',
        ],
      },
    ],
  },
  "flowcontrol.apiserver.k8s.io/v1 FlowSchema": {
    spec: { "spec.matchingPrecedence": 9000 },
    status: { "status.conditions": [condition] },
    refused: [
      {
        set: { "spec.matchingPrecedence": 20000 },
        want: ["spec.matchingPrecedence: Invalid value: 20000: must not be greater than 10000"],
      },
      {
        set: { "spec.matchingPrecedence": 1, "spec.distinguisherMethod": { type: "ByMood" } },
        want: [
          "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
          'spec.distinguisherMethod.type: Unsupported value: {"Type":"ByMood"}: supported values: "ByNamespace", "ByUser"',
        ],
      },
    ],
  },
  "flowcontrol.apiserver.k8s.io/v1 PriorityLevelConfiguration": {
    spec: { "spec.limited.nominalConcurrencyShares": 7 },
    status: { "status.conditions": [condition] },
    refused: [
      {
        set: { "spec.type": "Exempt" },
        want: [
          "spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'",
          "spec.limited: Forbidden: must be nil if the type is not Limited",
        ],
      },
      {
        set: { "spec.limited.limitResponse.queuing": { queues: 10_000, handSize: 9, queueLengthLimit: 1 } },
        want: [
          "spec.limited.limitResponse.queuing.handSize: Invalid value: 9: required entropy bits of deckSize 10000 and handSize 9 should not be greater than 60",
        ],
      },
    ],
  },
};
