/** Minimal manifests and what upstream stores of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { created, type Manifest } from "./kind-fixture.ts";

const containerDefaults = {
  name: "web",
  image: "nginx:1.27",
  resources: {},
  terminationMessagePath: "/dev/termination-log",
  terminationMessagePolicy: "File",
  imagePullPolicy: "IfNotPresent",
};

const templateSpec = {
  containers: [containerDefaults],
  restartPolicy: "Always",
  terminationGracePeriodSeconds: 30,
  dnsPolicy: "ClusterFirst",
  securityContext: {},
  schedulerName: "default-scheduler",
};

const minimal = { containers: [{ name: "web", image: "nginx:1.27" }] };
const labels = { app: "web" };

const table: readonly { name: string; object: Manifest; want: object }[] = [
  {
    name: "a Pod",
    object: { apiVersion: "v1", kind: "Pod", metadata: { name: "web" }, spec: minimal },
    want: {
      metadata: { name: "web", namespace: "default", generation: 1 },
      spec: { ...templateSpec, enableServiceLinks: true },
      status: { phase: "Pending", qosClass: "BestEffort" },
    },
  },
  {
    name: "a Pod with limits, host network and every kind of volume",
    object: {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "web" },
      spec: {
        hostNetwork: true,
        serviceAccountName: "robot",
        volumes: [
          { name: "a" },
          { name: "b", configMap: { name: "c" } },
          { name: "c", secret: { secretName: "s" } },
          { name: "d", hostPath: { path: "/tmp" } },
          { name: "e", projected: { sources: [{ serviceAccountToken: { path: "token" } }] } },
          { name: "f", downwardAPI: { items: [{ path: "l", fieldRef: { fieldPath: "metadata.labels" } }] } },
        ],
        containers: [
          {
            name: "web",
            image: "nginx",
            args: [],
            ports: [{ containerPort: 80 }],
            resources: { limits: { cpu: "1000m", memory: "0.5Gi" } },
            startupProbe: { httpGet: { port: "http" } },
            lifecycle: { preStop: { httpGet: { port: 80 } } },
          },
        ],
      },
    },
    want: {
      metadata: { name: "web", namespace: "default", generation: 1 },
      spec: {
        ...templateSpec,
        hostNetwork: true,
        serviceAccountName: "robot",
        serviceAccount: "robot",
        enableServiceLinks: true,
        volumes: [
          { name: "a", emptyDir: {} },
          { name: "b", configMap: { name: "c", defaultMode: 420 } },
          { name: "c", secret: { secretName: "s", defaultMode: 420 } },
          { name: "d", hostPath: { path: "/tmp", type: "" } },
          {
            name: "e",
            projected: {
              sources: [{ serviceAccountToken: { path: "token", expirationSeconds: 3600 } }],
              defaultMode: 420,
            },
          },
          {
            name: "f",
            downwardAPI: {
              items: [{ path: "l", fieldRef: { fieldPath: "metadata.labels", apiVersion: "v1" } }],
              defaultMode: 420,
            },
          },
        ],
        containers: [
          {
            ...containerDefaults,
            image: "nginx",
            imagePullPolicy: "Always",
            ports: [{ containerPort: 80, hostPort: 80, protocol: "TCP" }],
            resources: { limits: { cpu: "1", memory: "512Mi" }, requests: { cpu: "1", memory: "512Mi" } },
            startupProbe: {
              httpGet: { port: "http", path: "/", scheme: "HTTP" },
              timeoutSeconds: 1,
              periodSeconds: 10,
              successThreshold: 1,
              failureThreshold: 3,
            },
            lifecycle: { preStop: { httpGet: { port: 80, path: "/", scheme: "HTTP" } } },
          },
        ],
      },
      status: { phase: "Pending", qosClass: "Guaranteed" },
    },
  },
  {
    name: "a Deployment",
    object: {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "web" },
      spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: minimal } },
    },
    want: {
      metadata: { name: "web", namespace: "default", generation: 1 },
      spec: {
        replicas: 1,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: templateSpec },
        strategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: "25%", maxSurge: "25%" } },
        revisionHistoryLimit: 10,
        progressDeadlineSeconds: 600,
      },
      status: {},
    },
  },
  {
    name: "a ReplicaSet",
    object: {
      apiVersion: "apps/v1",
      kind: "ReplicaSet",
      metadata: { name: "web" },
      spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: minimal } },
    },
    want: {
      metadata: { name: "web", namespace: "default", generation: 1 },
      spec: { replicas: 1, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: templateSpec } },
      status: { replicas: 0 },
    },
  },
  {
    name: "a StatefulSet with a claim",
    object: {
      apiVersion: "apps/v1",
      kind: "StatefulSet",
      metadata: { name: "db" },
      spec: {
        serviceName: "db",
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: minimal },
        volumeClaimTemplates: [
          {
            metadata: { name: "data" },
            spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
          },
        ],
      },
    },
    want: {
      metadata: { name: "db", namespace: "default", generation: 1 },
      spec: {
        serviceName: "db",
        replicas: 1,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: templateSpec },
        podManagementPolicy: "OrderedReady",
        updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 0 } },
        revisionHistoryLimit: 10,
        persistentVolumeClaimRetentionPolicy: { whenDeleted: "Retain", whenScaled: "Retain" },
        volumeClaimTemplates: [
          {
            apiVersion: "v1",
            kind: "PersistentVolumeClaim",
            metadata: { name: "data" },
            spec: {
              accessModes: ["ReadWriteOnce"],
              resources: { requests: { storage: "1Gi" } },
              volumeMode: "Filesystem",
            },
            status: { phase: "Pending" },
          },
        ],
      },
      status: { replicas: 0, availableReplicas: 0 },
    },
  },
  {
    name: "a DaemonSet",
    object: {
      apiVersion: "apps/v1",
      kind: "DaemonSet",
      metadata: { name: "agent" },
      spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: minimal } },
    },
    want: {
      metadata: {
        name: "agent",
        namespace: "default",
        generation: 1,
        annotations: { "deprecated.daemonset.template.generation": "1" },
      },
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: templateSpec },
        updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } },
        revisionHistoryLimit: 10,
      },
      status: { currentNumberScheduled: 0, numberMisscheduled: 0, desiredNumberScheduled: 0, numberReady: 0 },
    },
  },
  {
    name: "a Service",
    object: {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web" },
      spec: { selector: labels, ports: [{ port: 80 }] },
    },
    want: {
      metadata: { name: "web", namespace: "default" },
      spec: {
        selector: labels,
        ports: [{ port: 80, protocol: "TCP", targetPort: 80 }],
        type: "ClusterIP",
        sessionAffinity: "None",
        internalTrafficPolicy: "Cluster",
      },
      status: { loadBalancer: {} },
    },
  },
  {
    name: "a NodePort Service with affinity",
    object: {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web" },
      spec: { type: "NodePort", sessionAffinity: "ClientIP", ports: [{ port: 80, targetPort: "http" }] },
    },
    want: {
      metadata: { name: "web", namespace: "default" },
      spec: {
        type: "NodePort",
        ports: [{ port: 80, protocol: "TCP", targetPort: "http" }],
        sessionAffinity: "ClientIP",
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 10800 } },
        externalTrafficPolicy: "Cluster",
        internalTrafficPolicy: "Cluster",
      },
      status: { loadBalancer: {} },
    },
  },
  {
    name: "a Namespace",
    object: { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
    want: {
      metadata: { name: "shop", labels: { "kubernetes.io/metadata.name": "shop" } },
      spec: { finalizers: ["kubernetes"] },
      status: { phase: "Active" },
    },
  },
  {
    name: "a Secret with plain text",
    object: { apiVersion: "v1", kind: "Secret", metadata: { name: "s" }, stringData: { a: "hello", ü: "ü" } },
    want: { metadata: { name: "s", namespace: "default" }, type: "Opaque", data: { a: "aGVsbG8=", ü: "w7w=" } },
  },
  {
    name: "a RoleBinding",
    object: {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "RoleBinding",
      metadata: { name: "b" },
      roleRef: { kind: "ClusterRole", name: "view" },
      subjects: [
        { kind: "User", name: "ann" },
        { kind: "ServiceAccount", name: "robot" },
      ],
    },
    want: {
      metadata: { name: "b", namespace: "default" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "view" },
      subjects: [
        { kind: "User", name: "ann", apiGroup: "rbac.authorization.k8s.io" },
        { kind: "ServiceAccount", name: "robot" },
      ],
    },
  },
  {
    name: "a Job",
    object: {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name: "once", uid: "u-1" },
      spec: { template: { spec: { ...minimal, restartPolicy: "Never" } } },
    },
    want: {
      metadata: {
        name: "once",
        namespace: "default",
        uid: "u-1",
        generation: 1,
        labels: {
          "job-name": "once",
          "batch.kubernetes.io/job-name": "once",
          "controller-uid": "u-1",
          "batch.kubernetes.io/controller-uid": "u-1",
        },
      },
      spec: {
        parallelism: 1,
        completions: 1,
        backoffLimit: 6,
        completionMode: "NonIndexed",
        suspend: false,
        manualSelector: false,
        podReplacementPolicy: "TerminatingOrFailed",
        selector: { matchLabels: { "batch.kubernetes.io/controller-uid": "u-1" } },
        template: {
          metadata: {
            labels: {
              "job-name": "once",
              "batch.kubernetes.io/job-name": "once",
              "controller-uid": "u-1",
              "batch.kubernetes.io/controller-uid": "u-1",
            },
          },
          spec: { ...templateSpec, restartPolicy: "Never" },
        },
      },
      status: {},
    },
  },
  {
    name: "a HorizontalPodAutoscaler",
    object: {
      apiVersion: "autoscaling/v2",
      kind: "HorizontalPodAutoscaler",
      metadata: { name: "web" },
      spec: { maxReplicas: 5, scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" } },
    },
    want: {
      metadata: { name: "web", namespace: "default" },
      spec: {
        minReplicas: 1,
        maxReplicas: 5,
        scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
        metrics: [
          { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } } },
        ],
      },
      status: { currentMetrics: [], desiredReplicas: 0 },
    },
  },
];

for (const { name, object, want } of table) {
  test(`default() completes ${name} as upstream stores it`, () => {
    const stored = created(object);
    const { apiVersion: _, kind: _k, ...rest } = stored.object as KubeObject & Record<string, unknown>;
    assert.deepEqual(rest, want);
    assert.deepEqual(
      stored.errors.filter((e) => !e.includes("clusterIP") && !e.includes("data[ü]")),
      [],
    );
  });
}
