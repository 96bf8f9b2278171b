/** Kinds of the other groups. */
import type { KindCase } from "./kind-case.ts";

export const clusterCases: readonly KindCase[] = [
  {
    kind: "certificates.k8s.io/v1 CertificateSigningRequest",
    fields: {
      spec: {
        request:
          "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlHTE1EOENBUUF3RERFS01BZ0dBMVVFQXd3QmVEQXFNQVVHQXl0bGNBTWhBTitsalduTWpQeDRCdG11anVORApxR0xyTU9MWExaM0wvMGZGb01tb2VQbXZvQUF3QlFZREsyVndBMEVBYkI5SElEN0FITmJBc2R1SzBReHZEbFoxClB1eVhNc0hNSUpyQ1Y1QVFDdDVmS0VEcG5xZGlzUW95NVdZS3huV2tTOUVRQjBPcjdFd2ptaVpWbTBwMERnPT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg==",
        signerName: "kubernetes.io/kube-apiserver-client",
        usages: ["client auth"],
      },
    },
    stored: {
      spec: {
        request:
          "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlHTE1EOENBUUF3RERFS01BZ0dBMVVFQXd3QmVEQXFNQVVHQXl0bGNBTWhBTitsalduTWpQeDRCdG11anVORApxR0xyTU9MWExaM0wvMGZGb01tb2VQbXZvQUF3QlFZREsyVndBMEVBYkI5SElEN0FITmJBc2R1SzBReHZEbFoxClB1eVhNc0hNSUpyQ1Y1QVFDdDVmS0VEcG5xZGlzUW95NVdZS3huV2tTOUVRQjBPcjdFd2ptaVpWbTBwMERnPT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg==",
        signerName: "kubernetes.io/kube-apiserver-client",
        usages: ["client auth"],
        username: "kubernetes-admin",
        groups: ["system:masters", "system:authenticated"],
        extra: { "authentication.kubernetes.io/credential-id": ["FINGERPRINT"] },
      },
      status: {},
    },
  },
  {
    kind: "networking.k8s.io/v1 Ingress",
    fields: {
      spec: {
        rules: [
          {
            http: {
              paths: [{ path: "/", pathType: "Prefix", backend: { service: { name: "m", port: { number: 80 } } } }],
            },
          },
        ],
      },
    },
    generation: 1,
    stored: {
      spec: {
        rules: [
          {
            http: {
              paths: [{ path: "/", pathType: "Prefix", backend: { service: { name: "m", port: { number: 80 } } } }],
            },
          },
        ],
      },
      status: { loadBalancer: {} },
    },
  },
  {
    kind: "networking.k8s.io/v1 IngressClass",
    fields: { spec: { controller: "a.b/c", parameters: { kind: "X", name: "y", apiGroup: "g.io" } } },
    generation: 1,
    stored: { spec: { controller: "a.b/c", parameters: { kind: "X", name: "y", apiGroup: "g.io", scope: "Cluster" } } },
  },
  {
    kind: "networking.k8s.io/v1 IPAddress",
    name: "10.99.99.99",
    fields: { spec: { parentRef: { resource: "services", name: "m", namespace: "default" } } },
  },
  {
    kind: "networking.k8s.io/v1 NetworkPolicy",
    fields: { spec: { podSelector: {}, ingress: [{ ports: [{ port: 80 }] }], egress: [{}] } },
    generation: 1,
    stored: {
      spec: {
        podSelector: {},
        ingress: [{ ports: [{ port: 80, protocol: "TCP" }] }],
        egress: [{}],
        policyTypes: ["Ingress", "Egress"],
      },
    },
  },
  {
    kind: "networking.k8s.io/v1 ServiceCIDR",
    fields: { spec: { cidrs: ["10.200.0.0/16"] } },
    stored: { spec: { cidrs: ["10.200.0.0/16"] }, status: {} },
  },
  { kind: "rbac.authorization.k8s.io/v1 ClusterRole", stored: { rules: [] } },
  { kind: "rbac.authorization.k8s.io/v1 Role", stored: { rules: [] } },
  {
    kind: "rbac.authorization.k8s.io/v1 ClusterRoleBinding",
    fields: { roleRef: { kind: "ClusterRole", name: "view" }, subjects: [{ kind: "User", name: "u" }] },
    stored: {
      roleRef: { kind: "ClusterRole", name: "view", apiGroup: "rbac.authorization.k8s.io" },
      subjects: [{ kind: "User", name: "u", apiGroup: "rbac.authorization.k8s.io" }],
    },
  },
  {
    kind: "rbac.authorization.k8s.io/v1 RoleBinding",
    fields: { roleRef: { kind: "ClusterRole", name: "view" }, subjects: [{ kind: "Group", name: "u" }] },
    stored: {
      roleRef: { kind: "ClusterRole", name: "view", apiGroup: "rbac.authorization.k8s.io" },
      subjects: [{ kind: "Group", name: "u", apiGroup: "rbac.authorization.k8s.io" }],
    },
  },
  {
    kind: "storage.k8s.io/v1 CSIDriver",
    fields: { spec: {} },
    stored: {
      spec: {
        attachRequired: true,
        podInfoOnMount: false,
        storageCapacity: false,
        fsGroupPolicy: "ReadWriteOnceWithFSType",
        volumeLifecycleModes: ["Persistent"],
        requiresRepublish: false,
        seLinuxMount: false,
      },
    },
  },
  {
    kind: "storage.k8s.io/v1 CSINode",
    fields: { spec: { drivers: [{ name: "d", nodeID: "n" }] } },
    stored: { spec: { drivers: [{ name: "d", nodeID: "n", topologyKeys: [] }] } },
  },
  { kind: "storage.k8s.io/v1 CSIStorageCapacity", fields: { storageClassName: "sc" } },
  {
    kind: "storage.k8s.io/v1 StorageClass",
    fields: { provisioner: "p.io/p" },
    stored: { provisioner: "p.io/p", reclaimPolicy: "Delete", volumeBindingMode: "Immediate" },
  },
  {
    kind: "storage.k8s.io/v1 VolumeAttachment",
    fields: { spec: { attacher: "a", nodeName: "n", source: { persistentVolumeName: "m" } } },
    stored: {
      spec: { attacher: "a", nodeName: "n", source: { persistentVolumeName: "m" } },
      status: { attached: false },
    },
  },
  {
    kind: "storage.k8s.io/v1 VolumeAttributesClass",
    fields: { driverName: "d.io", parameters: { a: "b" } },
    metadata: { finalizers: ["kubernetes.io/vac-protection"] },
  },
  {
    kind: "scheduling.k8s.io/v1 PriorityClass",
    fields: { value: 5 },
    generation: 1,
    stored: { value: 5, preemptionPolicy: "PreemptLowerPriority" },
  },
  { kind: "coordination.k8s.io/v1 Lease", fields: { spec: {} } },
  {
    kind: "node.k8s.io/v1 RuntimeClass",
    fields: { handler: "h", overhead: { podFixed: { cpu: "10m" } }, scheduling: { nodeSelector: { a: "b" } } },
  },
  {
    kind: "discovery.k8s.io/v1 EndpointSlice",
    fields: { addressType: "IPv4", endpoints: [{ addresses: ["10.1.1.1"] }], ports: [{ port: 80 }] },
    generation: 1,
    stored: {
      addressType: "IPv4",
      endpoints: [{ addresses: ["10.1.1.1"], conditions: {} }],
      ports: [{ port: 80, name: "", protocol: "TCP" }],
    },
  },
  { kind: "resource.k8s.io/v1 DeviceClass", fields: { spec: {} }, generation: 1 },
  {
    kind: "resource.k8s.io/v1 ResourceClaim",
    fields: {
      spec: {
        devices: {
          requests: [
            { name: "r", exactly: { deviceClassName: "m" } },
            { name: "f", firstAvailable: [{ name: "a", deviceClassName: "m" }] },
          ],
        },
      },
    },
    stored: {
      spec: {
        devices: {
          requests: [
            { name: "r", exactly: { deviceClassName: "m", allocationMode: "ExactCount", count: 1 } },
            {
              name: "f",
              firstAvailable: [{ name: "a", deviceClassName: "m", allocationMode: "ExactCount", count: 1 }],
            },
          ],
        },
      },
      status: {},
    },
  },
  {
    kind: "resource.k8s.io/v1 ResourceClaimTemplate",
    fields: {
      spec: {
        spec: {
          devices: {
            requests: [
              { name: "r", exactly: { deviceClassName: "m" } },
              { name: "f", firstAvailable: [{ name: "a", deviceClassName: "m" }] },
            ],
          },
        },
      },
    },
    stored: {
      spec: {
        spec: {
          devices: {
            requests: [
              { name: "r", exactly: { deviceClassName: "m", allocationMode: "ExactCount", count: 1 } },
              {
                name: "f",
                firstAvailable: [{ name: "a", deviceClassName: "m", allocationMode: "ExactCount", count: 1 }],
              },
            ],
          },
        },
        metadata: {},
      },
    },
  },
  {
    kind: "resource.k8s.io/v1 ResourceSlice",
    fields: {
      spec: {
        driver: "d.io",
        nodeName: "n",
        pool: { name: "p", generation: 1, resourceSliceCount: 1 },
        devices: [{ name: "d0" }],
      },
    },
    generation: 1,
  },
  {
    kind: "flowcontrol.apiserver.k8s.io/v1 FlowSchema",
    fields: { spec: { priorityLevelConfiguration: { name: "m" } } },
    generation: 1,
    stored: { spec: { priorityLevelConfiguration: { name: "m" }, matchingPrecedence: 1000 }, status: {} },
  },
  {
    kind: "flowcontrol.apiserver.k8s.io/v1 PriorityLevelConfiguration",
    fields: { spec: { type: "Limited", limited: { limitResponse: { type: "Queue", queuing: {} } } } },
    generation: 1,
    stored: {
      spec: {
        type: "Limited",
        limited: {
          limitResponse: { type: "Queue", queuing: { handSize: 8, queueLengthLimit: 50, queues: 64 } },
          nominalConcurrencyShares: 30,
          lendablePercent: 0,
        },
      },
      status: {},
    },
  },
];
