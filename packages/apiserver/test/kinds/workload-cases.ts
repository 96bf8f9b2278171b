/** Kinds of core, apps, batch, autoscaling, events and policy. */
import { type KindCase, oncePod, onceSpec, pod, podSpec } from "./kind-case.ts";

export const workloadCases: readonly KindCase[] = [
  {
    kind: "v1 Pod",
    fields: { spec: { ...pod, automountServiceAccountToken: false } },
    generation: 1,
    stored: {
      spec: {
        ...podSpec,
        automountServiceAccountToken: false,
        enableServiceLinks: true,
        serviceAccountName: "default",
        serviceAccount: "default",
        priority: 0,
        preemptionPolicy: "PreemptLowerPriority",
        tolerations: [
          { key: "node.kubernetes.io/not-ready", operator: "Exists", effect: "NoExecute", tolerationSeconds: 300 },
          { key: "node.kubernetes.io/unreachable", operator: "Exists", effect: "NoExecute", tolerationSeconds: 300 },
        ],
      },
      status: { phase: "Pending", qosClass: "BestEffort" },
    },
  },
  { kind: "v1 ConfigMap" },
  { kind: "v1 Secret", stored: { type: "Opaque" } },
  {
    kind: "v1 Endpoints",
    fields: { subsets: [{ addresses: [{ ip: "10.1.1.1" }], ports: [{ port: 80 }] }] },
    stored: { subsets: [{ addresses: [{ ip: "10.1.1.1" }], ports: [{ port: 80, protocol: "TCP" }] }] },
  },
  {
    kind: "v1 Event",
    fields: { involvedObject: { kind: "Pod", namespace: "default", name: "x" } },
    stored: {
      involvedObject: { kind: "Pod", namespace: "default", name: "x" },
      reportingComponent: "",
      reportingInstance: "",
      source: {},
    },
  },
  {
    kind: "events.k8s.io/v1 Event",
    name: "m2",
    fields: {
      eventTime: "2026-01-01T00:00:00.000001Z",
      action: "a",
      reason: "r",
      type: "Normal",
      reportingController: "k.io/x",
      reportingInstance: "i",
      regarding: { kind: "Pod", namespace: "default", name: "x" },
    },
    stored: {
      eventTime: "2026-01-01T00:00:00.000001Z",
      action: "a",
      reason: "r",
      type: "Normal",
      reportingController: "k.io/x",
      reportingInstance: "i",
      regarding: { kind: "Pod", namespace: "default", name: "x" },
      deprecatedSource: {},
    },
  },
  {
    kind: "v1 LimitRange",
    fields: { spec: { limits: [{ type: "Container", max: { cpu: "2" }, min: { memory: "1Mi" } }] } },
    stored: {
      spec: {
        limits: [
          {
            type: "Container",
            max: { cpu: "2" },
            min: { memory: "1Mi" },
            default: { cpu: "2" },
            defaultRequest: { memory: "1Mi", cpu: "2" },
          },
        ],
      },
    },
  },
  {
    kind: "v1 Namespace",
    name: "m9",
    metadata: { labels: { "kubernetes.io/metadata.name": "m9" } },
    stored: { spec: { finalizers: ["kubernetes"] }, status: { phase: "Active" } },
  },
  {
    kind: "v1 Node",
    stored: {
      spec: { taints: [{ key: "node.kubernetes.io/not-ready", effect: "NoSchedule" }] },
      status: {
        daemonEndpoints: { kubeletEndpoint: { Port: 0 } },
        nodeInfo: {
          architecture: "",
          bootID: "",
          containerRuntimeVersion: "",
          kernelVersion: "",
          kubeProxyVersion: "",
          kubeletVersion: "",
          machineID: "",
          operatingSystem: "",
          osImage: "",
          systemUUID: "",
        },
      },
    },
  },
  {
    kind: "v1 PersistentVolume",
    fields: { spec: { capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"], hostPath: { path: "/x" } } },
    metadata: { finalizers: ["kubernetes.io/pv-protection"] },
    stored: {
      spec: {
        capacity: { storage: "1Gi" },
        accessModes: ["ReadWriteOnce"],
        hostPath: { path: "/x", type: "" },
        persistentVolumeReclaimPolicy: "Retain",
        volumeMode: "Filesystem",
      },
      status: { phase: "Pending", lastPhaseTransitionTime: "TIME" },
    },
  },
  {
    kind: "v1 PersistentVolumeClaim",
    fields: { spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } } },
    metadata: { finalizers: ["kubernetes.io/pvc-protection"] },
    stored: {
      spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, volumeMode: "Filesystem" },
      status: { phase: "Pending" },
    },
  },
  {
    kind: "v1 PodTemplate",
    fields: { template: { metadata: { labels: { a: "b" } }, spec: pod } },
    generation: 1,
    stored: { template: { metadata: { labels: { a: "b" } }, spec: podSpec } },
  },
  {
    kind: "v1 ReplicationController",
    fields: { spec: { template: { metadata: { labels: { a: "b" } }, spec: pod } } },
    metadata: { labels: { a: "b" } },
    generation: 1,
    stored: {
      spec: { template: { metadata: { labels: { a: "b" } }, spec: podSpec }, selector: { a: "b" }, replicas: 1 },
      status: { replicas: 0 },
    },
  },
  {
    kind: "v1 ResourceQuota",
    fields: { spec: { hard: { configmaps: "1000" } } },
    stored: { spec: { hard: { configmaps: "1k" } }, status: {} },
  },
  { kind: "v1 ServiceAccount" },
  {
    kind: "v1 Service",
    fields: { spec: { ports: [{ port: 80 }] } },
    stored: {
      spec: {
        ports: [{ port: 80, targetPort: 80, protocol: "TCP" }],
        sessionAffinity: "None",
        type: "ClusterIP",
        internalTrafficPolicy: "Cluster",
        ipFamilyPolicy: "SingleStack",
        ipFamilies: ["IPv4"],
        clusterIP: "ADDRESS",
        clusterIPs: ["ADDRESS"],
      },
      status: { loadBalancer: {} },
    },
  },
  {
    kind: "apps/v1 Deployment",
    fields: {
      spec: { selector: { matchLabels: { a: "b" } }, template: { metadata: { labels: { a: "b" } }, spec: pod } },
    },
    generation: 1,
    stored: {
      spec: {
        selector: { matchLabels: { a: "b" } },
        template: { metadata: { labels: { a: "b" } }, spec: podSpec },
        strategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: "25%", maxSurge: "25%" } },
        replicas: 1,
        revisionHistoryLimit: 10,
        progressDeadlineSeconds: 600,
      },
      status: {},
    },
  },
  {
    kind: "apps/v1 ReplicaSet",
    fields: {
      spec: { selector: { matchLabels: { a: "b" } }, template: { metadata: { labels: { a: "b" } }, spec: pod } },
    },
    generation: 1,
    stored: {
      spec: {
        selector: { matchLabels: { a: "b" } },
        template: { metadata: { labels: { a: "b" } }, spec: podSpec },
        replicas: 1,
      },
      status: { replicas: 0 },
    },
  },
  {
    kind: "apps/v1 DaemonSet",
    fields: {
      spec: { selector: { matchLabels: { a: "b" } }, template: { metadata: { labels: { a: "b" } }, spec: pod } },
    },
    metadata: { annotations: { "deprecated.daemonset.template.generation": "1" } },
    generation: 1,
    stored: {
      spec: {
        selector: { matchLabels: { a: "b" } },
        template: { metadata: { labels: { a: "b" } }, spec: podSpec },
        updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } },
        revisionHistoryLimit: 10,
      },
      status: { currentNumberScheduled: 0, desiredNumberScheduled: 0, numberMisscheduled: 0, numberReady: 0 },
    },
  },
  {
    kind: "apps/v1 StatefulSet",
    fields: {
      spec: { selector: { matchLabels: { a: "b" } }, template: { metadata: { labels: { a: "b" } }, spec: pod } },
    },
    generation: 1,
    stored: {
      spec: {
        selector: { matchLabels: { a: "b" } },
        template: { metadata: { labels: { a: "b" } }, spec: podSpec },
        serviceName: "",
        updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 0 } },
        podManagementPolicy: "OrderedReady",
        persistentVolumeClaimRetentionPolicy: { whenDeleted: "Retain", whenScaled: "Retain" },
        replicas: 1,
        revisionHistoryLimit: 10,
      },
      status: { availableReplicas: 0, replicas: 0 },
    },
  },
  { kind: "apps/v1 ControllerRevision", fields: { revision: 1, data: { a: 1 } } },
  {
    kind: "autoscaling/v2 HorizontalPodAutoscaler",
    fields: {
      spec: {
        maxReplicas: 3,
        scaleTargetRef: { kind: "Deployment", name: "m" },
        behavior: { scaleUp: { stabilizationWindowSeconds: 1 } },
      },
    },
    stored: {
      spec: {
        maxReplicas: 3,
        scaleTargetRef: { kind: "Deployment", name: "m" },
        behavior: {
          scaleUp: {
            stabilizationWindowSeconds: 1,
            selectPolicy: "Max",
            policies: [
              { type: "Pods", value: 4, periodSeconds: 15 },
              { type: "Percent", value: 100, periodSeconds: 15 },
            ],
          },
          scaleDown: { selectPolicy: "Max", policies: [{ type: "Percent", value: 100, periodSeconds: 15 }] },
        },
        minReplicas: 1,
        metrics: [
          { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } } },
        ],
      },
      status: { currentMetrics: [], desiredReplicas: 0 },
    },
  },
  {
    kind: "autoscaling/v1 HorizontalPodAutoscaler",
    name: "m1",
    fields: { spec: { maxReplicas: 3, scaleTargetRef: { kind: "Deployment", name: "m" } } },
    stored: {
      spec: {
        maxReplicas: 3,
        scaleTargetRef: { kind: "Deployment", name: "m" },
        minReplicas: 1,
        targetCPUUtilizationPercentage: 80,
      },
      status: { currentReplicas: 0, desiredReplicas: 0 },
    },
  },
  {
    kind: "batch/v1 Job",
    fields: { spec: { template: { spec: oncePod } } },
    metadata: {
      labels: {
        "job-name": "m",
        "batch.kubernetes.io/job-name": "m",
        "controller-uid": "UID",
        "batch.kubernetes.io/controller-uid": "UID",
      },
    },
    generation: 1,
    stored: {
      spec: {
        template: {
          spec: onceSpec,
          metadata: {
            labels: {
              "job-name": "m",
              "batch.kubernetes.io/job-name": "m",
              "controller-uid": "UID",
              "batch.kubernetes.io/controller-uid": "UID",
            },
          },
        },
        completions: 1,
        parallelism: 1,
        backoffLimit: 6,
        completionMode: "NonIndexed",
        suspend: false,
        manualSelector: false,
        podReplacementPolicy: "TerminatingOrFailed",
        selector: { matchLabels: { "batch.kubernetes.io/controller-uid": "UID" } },
      },
      status: {},
    },
  },
  {
    kind: "batch/v1 CronJob",
    fields: { spec: { schedule: "* * * * *", jobTemplate: { spec: { template: { spec: oncePod } } } } },
    generation: 1,
    stored: {
      spec: {
        schedule: "* * * * *",
        jobTemplate: { spec: { template: { spec: onceSpec, metadata: {} } }, metadata: {} },
        concurrencyPolicy: "Allow",
        suspend: false,
        successfulJobsHistoryLimit: 3,
        failedJobsHistoryLimit: 1,
      },
      status: {},
    },
  },
  {
    kind: "policy/v1 PodDisruptionBudget",
    fields: { spec: { selector: { matchLabels: { a: "b" } }, minAvailable: 1 } },
    generation: 1,
    stored: {
      spec: { selector: { matchLabels: { a: "b" } }, minAvailable: 1 },
      status: { currentHealthy: 0, desiredHealthy: 0, disruptionsAllowed: 0, expectedPods: 0 },
    },
  },
];
