/**
 * What a cluster of ours needs in its API besides upstream's bootstrap objects: the rights of our own daemons, and the
 * DNS Service whose endpoints are the host's cluster-dns.
 */

import { core, discovery, rbac, storage } from "@knarr/api/generated/resources.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import { isAlreadyExists } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import type { ClusterConfig } from "./cluster-config.ts";

interface Addon {
  readonly ref: ResourceRef<unknown>;
  readonly object: KubeObject;
  /** Made once and then the user's to change or replace. */
  readonly once?: boolean;
}

const FIELD_MANAGER = "knarr-up";

function roleFor(user: string, rules: readonly object[]): Addon[] {
  const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: user };
  const subjects = [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: user }];
  const metadata = { name: user };
  const apiVersion = "rbac.authorization.k8s.io/v1";
  return [
    { ref: rbac.clusterroles, object: { apiVersion, kind: "ClusterRole", metadata, rules } as KubeObject },
    {
      ref: rbac.clusterrolebindings,
      object: { apiVersion, kind: "ClusterRoleBinding", metadata, roleRef, subjects } as KubeObject,
    },
  ];
}

/** Who may have a node's client certificate without being asked, and who may renew it. Source: kubeadm's bindings of these names */
function nodeCertificateBindings(): Addon[] {
  const requests = "system:certificates.k8s.io:certificatesigningrequests";
  const joining = "system:bootstrappers:kubeadm:default-node-token";
  const bindings = [
    { name: "kubeadm:kubelet-bootstrap", role: "system:node-bootstrapper", group: joining },
    { name: "kubeadm:node-autoapprove-bootstrap", role: `${requests}:nodeclient`, group: joining },
    {
      name: "kubeadm:node-autoapprove-certificate-rotation",
      role: `${requests}:selfnodeclient`,
      group: "system:nodes",
    },
  ];
  const apiGroup = "rbac.authorization.k8s.io";
  return bindings.map(({ name, role, group }) => ({
    ref: rbac.clusterrolebindings,
    object: {
      apiVersion: `${apiGroup}/v1`,
      kind: "ClusterRoleBinding",
      metadata: { name },
      roleRef: { apiGroup, kind: "ClusterRole", name: role },
      subjects: [{ apiGroup, kind: "Group", name: group }],
    } as KubeObject,
  }));
}

/** Users of our own daemons' certificates. */
export const OWN_USERS = {
  clusterDns: "system:knarr:cluster-dns",
  podNetwork: "system:knarr:pod-network",
  localPath: "system:knarr:local-path",
} as const;

export function planAddons(config: ClusterConfig): Addon[] {
  const dnsLabels = {
    "k8s-app": "kube-dns",
    "kubernetes.io/cluster-service": "true",
    "kubernetes.io/name": "CoreDNS",
  };
  const dnsPorts = [
    { name: "dns", protocol: "UDP", port: 53 },
    { name: "dns-tcp", protocol: "TCP", port: 53 },
  ];
  const namespace = "kube-system";
  return [
    ...roleFor(OWN_USERS.clusterDns, [
      { apiGroups: [""], resources: ["services", "namespaces", "pods"], verbs: ["list", "watch"] },
      { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: ["list", "watch"] },
    ]),
    ...roleFor(OWN_USERS.podNetwork, [
      { apiGroups: [""], resources: ["nodes"], verbs: ["get", "list", "watch"] },
      { apiGroups: [""], resources: ["nodes/status"], verbs: ["patch"] },
    ]),
    ...roleFor(OWN_USERS.localPath, [
      { apiGroups: [""], resources: ["nodes"], verbs: ["get", "list", "watch"] },
      { apiGroups: [""], resources: ["persistentvolumeclaims"], verbs: ["get", "list", "watch", "update", "patch"] },
      { apiGroups: [""], resources: ["persistentvolumeclaims/status"], verbs: ["update", "patch"] },
      {
        apiGroups: [""],
        resources: ["persistentvolumes"],
        verbs: ["get", "list", "watch", "create", "update", "patch", "delete"],
      },
      { apiGroups: ["storage.k8s.io"], resources: ["storageclasses"], verbs: ["get", "list", "watch"] },
      { apiGroups: [""], resources: ["events"], verbs: ["create", "patch", "update"] },
    ]),
    {
      ref: storage.storageclasses,
      // Which class is the default is for users to say.
      once: true,
      object: {
        apiVersion: "storage.k8s.io/v1",
        kind: "StorageClass",
        metadata: { name: "local-path", annotations: { "storageclass.kubernetes.io/is-default-class": "true" } },
        provisioner: "knarr.dev/local-path",
        reclaimPolicy: "Delete",
        volumeBindingMode: "WaitForFirstConsumer",
        allowVolumeExpansion: true,
      } as KubeObject,
    },
    ...nodeCertificateBindings(),
    // The API server reaches kubelets with a certificate of its own.
    {
      ref: rbac.clusterrolebindings,
      object: {
        apiVersion: "rbac.authorization.k8s.io/v1",
        kind: "ClusterRoleBinding",
        metadata: { name: "knarr:apiserver-kubelet-client" },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "system:kubelet-api-admin" },
        subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "kube-apiserver-kubelet-client" }],
      } as KubeObject,
    },
    {
      ref: core.services,
      object: {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "kube-dns", namespace, labels: dnsLabels },
        spec: { clusterIP: config.dnsServiceIp, ports: dnsPorts },
      } as KubeObject,
    },
    {
      ref: discovery.endpointslices,
      object: {
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: {
          name: "kube-dns-host",
          namespace,
          labels: {
            "kubernetes.io/service-name": "kube-dns",
            "endpointslice.kubernetes.io/managed-by": "knarr-up",
          },
        },
        addressType: "IPv4",
        ports: dnsPorts,
        endpoints: [{ addresses: [config.hostIp], conditions: { ready: true, serving: true, terminating: false } }],
      } as KubeObject,
    },
  ];
}

/** Applies them all; idempotent. */
export async function applyAddons(client: Client, config: ClusterConfig, signal: AbortSignal): Promise<void> {
  for (const { ref, object, once } of planAddons(config)) {
    if (once === true) {
      await createUnlessThere(client, { ref, object }, signal);
      continue;
    }
    const { name = "", namespace = "" } = object.metadata;
    const options = { fieldManager: FIELD_MANAGER, force: true, signal };
    await client.patch(ref, { namespace, name }, { type: "apply", body: object }, options);
  }
}

async function createUnlessThere(client: Client, { ref, object }: Addon, signal: AbortSignal): Promise<void> {
  try {
    await client.create(ref, object, { fieldManager: FIELD_MANAGER, signal });
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}
