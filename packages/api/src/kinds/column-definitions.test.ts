/**
 * The columns of every kind: "Name:type(format)*", where the type is "string" and the format is none unless said, and * stands
 * for those that show with -o wide only. Source: k8s.io/kubernetes/pkg/printers/internalversion AddHandlers
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import type { PrinterColumn } from "../descriptor.ts";
import { allKinds } from "./index.ts";

const columns: Readonly<Record<string, string>> = {
  "v1 ComponentStatus": "Name(name) | Status | Message | Error",
  "v1 ConfigMap": "Name(name) | Data | Age",
  "v1 Endpoints": "Name(name) | Endpoints | Age",
  "v1 Event":
    "Last Seen | Type | Reason | Object | Subobject* | Source* | Message | First Seen* | Count* | Name(name)*",
  "v1 LimitRange": "Name(name) | Created At:date",
  "v1 Namespace": "Name(name) | Status | Age",
  "v1 Node":
    "Name(name) | Status | Roles | Age | Version | Internal-IP* | External-IP* | OS-Image* | Kernel-Version* | Container-Runtime*",
  "v1 PersistentVolumeClaim":
    "Name(name) | Status | Volume | Capacity | Access Modes | StorageClass | VolumeAttributesClass | Age | VolumeMode*",
  "v1 PersistentVolume":
    "Name(name) | Capacity | Access Modes | Reclaim Policy | Status | Claim | StorageClass | VolumeAttributesClass | Reason | Age | VolumeMode*",
  "v1 PodTemplate": "Name(name) | Containers | Images | Pod Labels",
  "v1 Pod": "Name(name) | Ready | Status | Restarts | Age | IP* | Node* | Nominated Node* | Readiness Gates*",
  "v1 ReplicationController":
    "Name(name) | Desired:integer | Current:integer | Ready:integer | Age | Containers* | Images* | Selector*",
  "v1 ResourceQuota": "Name(name) | Request | Limit | Age",
  "v1 Secret": "Name(name) | Type | Data | Age",
  "v1 ServiceAccount": "Name(name) | Secrets | Age",
  "v1 Service": "Name(name) | Type | Cluster-IP | External-IP | Port(s) | Age | Selector*",
  "apps/v1 ControllerRevision": "Name(name) | Controller | Revision | Age",
  "apps/v1 DaemonSet":
    "Name(name) | Desired:integer | Current:integer | Ready:integer | Up-to-date:integer | Available:integer | Node Selector | Age | Containers* | Images* | Selector*",
  "apps/v1 Deployment": "Name(name) | Ready | Up-to-date | Available | Age | Containers* | Images* | Selector*",
  "apps/v1 ReplicaSet":
    "Name(name) | Desired:integer | Current:integer | Ready:integer | Age | Containers* | Images* | Selector*",
  "apps/v1 StatefulSet": "Name(name) | Ready | Age | Containers* | Images*",
  "autoscaling/v1 HorizontalPodAutoscaler": "Name(name) | Reference | Targets | MinPods | MaxPods | Replicas | Age",
  "autoscaling/v2 HorizontalPodAutoscaler": "Name(name) | Reference | Targets | MinPods | MaxPods | Replicas | Age",
  "batch/v1 CronJob":
    "Name(name) | Schedule | Timezone | Suspend:boolean | Active:integer | Last Schedule | Age | Containers* | Images* | Selector*",
  "batch/v1 Job": "Name(name) | Status | Completions | Duration | Age | Containers* | Images* | Selector*",
  "certificates.k8s.io/v1 CertificateSigningRequest":
    "Name(name) | Age | SignerName | Requestor | RequestedDuration | Condition",
  "coordination.k8s.io/v1 Lease": "Name(name) | Holder | Age",
  "discovery.k8s.io/v1 EndpointSlice": "Name(name) | AddressType | Ports | Endpoints | Age",
  "events.k8s.io/v1 Event":
    "Last Seen | Type | Reason | Object | Subobject* | Source* | Message | First Seen* | Count* | Name(name)*",
  "flowcontrol.apiserver.k8s.io/v1 FlowSchema":
    "Name(name) | PriorityLevel | MatchingPrecedence | DistinguisherMethod | Age | MissingPL",
  "flowcontrol.apiserver.k8s.io/v1 PriorityLevelConfiguration":
    "Name(name) | Type | NominalConcurrencyShares | Queues | HandSize | QueueLengthLimit | Age",
  "networking.k8s.io/v1 IngressClass": "Name(name) | Controller | Parameters | Age",
  "networking.k8s.io/v1 Ingress": "Name(name) | Class | Hosts | Address | Ports | Age",
  "networking.k8s.io/v1 IPAddress": "Name(name) | ParentRef",
  "networking.k8s.io/v1 NetworkPolicy": "Name(name) | Pod-Selector | Age",
  "networking.k8s.io/v1 ServiceCIDR": "Name(name) | CIDRs | Age",
  "node.k8s.io/v1 RuntimeClass": "Name(name) | Handler | Age",
  "policy/v1 PodDisruptionBudget": "Name(name) | Min Available | Max Unavailable | Allowed Disruptions:integer | Age",
  "rbac.authorization.k8s.io/v1 ClusterRoleBinding": "Name(name) | Role | Age | Users* | Groups* | ServiceAccounts*",
  "rbac.authorization.k8s.io/v1 ClusterRole": "Name(name) | Created At:date",
  "rbac.authorization.k8s.io/v1 RoleBinding": "Name(name) | Role | Age | Users* | Groups* | ServiceAccounts*",
  "rbac.authorization.k8s.io/v1 Role": "Name(name) | Created At:date",
  "resource.k8s.io/v1 DeviceClass": "Name(name) | Age",
  "resource.k8s.io/v1 ResourceClaimTemplate": "Name(name) | Age",
  "resource.k8s.io/v1 ResourceClaim": "Name(name) | State | Age",
  "resource.k8s.io/v1 ResourceSlice": "Name(name) | Node | Driver | Pool | Age",
  "scheduling.k8s.io/v1 PriorityClass": "Name(name) | Value:integer | Global-Default:boolean | Age | PreemptionPolicy",
  "storage.k8s.io/v1 CSIDriver":
    "Name(name) | AttachRequired:boolean | PodInfoOnMount:boolean | StorageCapacity:boolean | TokenRequests | RequiresRepublish:boolean | Modes | Age",
  "storage.k8s.io/v1 CSINode": "Name(name) | Drivers:integer | Age",
  "storage.k8s.io/v1 CSIStorageCapacity": "Name(name) | StorageClassName | Capacity",
  "storage.k8s.io/v1 StorageClass":
    "Name(name) | Provisioner | ReclaimPolicy | VolumeBindingMode | AllowVolumeExpansion | Age",
  "storage.k8s.io/v1 VolumeAttachment": "Name(name) | Attacher(name) | PV | Node | Attached:boolean | Age",
  "storage.k8s.io/v1 VolumeAttributesClass": "Name(name) | DriverName | Age",
};

function definition({ name, type, format, priority }: PrinterColumn<never>): string {
  const shownType = type === "string" ? "" : `:${type}`;
  return `${name}${shownType}${format === "" ? "" : `(${format})`}${priority === 0 ? "" : "*"}`;
}

for (const kind of allKinds.filter(({ verbs }) => verbs.includes("list"))) {
  const name = `${apiVersionOf(kind.ref)} ${kind.ref.kind}`;
  test(`columns of ${name} are upstream's, and each is described`, () => {
    assert.equal(kind.columns.map(definition).join(" | "), columns[name]);
    assert.deepEqual(
      kind.columns.filter(({ description }) => description === "").map((column) => column.name),
      [],
    );
  });
}
