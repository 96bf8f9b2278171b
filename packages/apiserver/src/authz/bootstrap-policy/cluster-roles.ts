/**
 * The ClusterRoles that every cluster starts with, at the feature gates' defaults of 1.36.
 * Source: docs reference/access-authn-authz/rbac#default-roles-and-role-bindings;
 * k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy/testdata
 */
import type { PolicyRule } from "@knarr/api/generated/types/rbac-v1.ts";
import { nodeRules } from "./node-rules.ts";
import { eventsRule, READ, READ_UPDATE, READ_WRITE, rule, urls, WRITE } from "./policy-rule.ts";

export interface RolePolicy {
  readonly name: string;
  readonly rules: readonly PolicyRule[];
  /** The role whose aggregate it is part of: "view" stands for rbac.authorization.k8s.io/aggregate-to-view. */
  readonly aggregateTo?: "admin" | "edit" | "view";
  /** Its rules are those of all roles labelled to aggregate to it. */
  readonly aggregates?: "admin" | "edit" | "view";
}

const HEALTH = "/healthz /livez /readyz /version /version/";
const CERTIFICATES = "certificates.k8s.io";
const STORAGE = "storage.k8s.io";

function approver(name: string, signer: string): RolePolicy {
  return { name: `system:certificates.k8s.io:${name}`, rules: [rule("approve", CERTIFICATES, "signers", signer)] };
}

const userRoles: readonly RolePolicy[] = [
  { name: "cluster-admin", rules: [rule("*", "*", "*"), urls("*", "*")] },
  { name: "admin", aggregates: "admin", rules: [] },
  { name: "edit", aggregates: "edit", aggregateTo: "admin", rules: [] },
  { name: "view", aggregates: "view", aggregateTo: "edit", rules: [] },
  {
    name: "system:aggregate-to-admin",
    aggregateTo: "admin",
    rules: [
      rule("create", "authorization.k8s.io", "localsubjectaccessreviews"),
      rule(READ_WRITE, "rbac.authorization.k8s.io", "roles rolebindings"),
    ],
  },
  {
    name: "system:aggregate-to-edit",
    aggregateTo: "edit",
    rules: [
      rule(READ, "core", "pods/attach pods/proxy pods/exec pods/portforward secrets services/proxy"),
      rule("impersonate", "core", "serviceaccounts"),
      rule(WRITE, "core", "pods pods/attach pods/proxy pods/exec pods/portforward"),
      rule("create", "core", "pods/eviction"),
      rule(
        WRITE,
        "core",
        "replicationcontrollers replicationcontrollers/scale serviceaccounts services services/proxy " +
          "persistentvolumeclaims configmaps secrets events",
      ),
      rule("create", "core", "serviceaccounts/token"),
      rule(
        WRITE,
        "apps",
        "statefulsets statefulsets/scale daemonsets deployments deployments/scale deployments/rollback replicasets replicasets/scale",
      ),
      rule(WRITE, "autoscaling", "horizontalpodautoscalers"),
      rule(WRITE, "batch", "jobs cronjobs"),
      rule(
        WRITE,
        "extensions",
        "daemonsets deployments deployments/scale deployments/rollback ingresses replicasets replicasets/scale " +
          "replicationcontrollers/scale networkpolicies",
      ),
      rule(WRITE, "policy", "poddisruptionbudgets"),
      rule(WRITE, "networking.k8s.io", "networkpolicies ingresses"),
      rule(READ_WRITE, "coordination.k8s.io", "leases"),
      rule(WRITE, "resource.k8s.io", "resourceclaims resourceclaimtemplates"),
    ],
  },
  // Differs from upstream: metrics-server's installation brings this role, and here nothing needs to be installed.
  {
    name: "system:aggregated-metrics-reader",
    aggregateTo: "view",
    rules: [rule(READ, "metrics.k8s.io", "pods nodes")],
  },
  {
    name: "system:aggregate-to-view",
    aggregateTo: "view",
    rules: [
      rule(
        READ,
        "core",
        "pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status endpoints " +
          "persistentvolumeclaims persistentvolumeclaims/status configmaps",
      ),
      rule(
        READ,
        "core",
        "limitranges resourcequotas bindings events pods/status resourcequotas/status namespaces/status " +
          "replicationcontrollers/status pods/log",
      ),
      rule(READ, "core", "namespaces"),
      rule(READ, "discovery.k8s.io", "endpointslices"),
      rule(
        READ,
        "apps",
        "controllerrevisions statefulsets statefulsets/status statefulsets/scale daemonsets daemonsets/status " +
          "deployments deployments/status deployments/scale replicasets replicasets/status replicasets/scale",
      ),
      rule(READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
      rule(READ, "batch", "jobs cronjobs cronjobs/status jobs/status"),
      rule(
        READ,
        "extensions",
        "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status " +
          "replicasets replicasets/scale replicasets/status replicationcontrollers/scale networkpolicies",
      ),
      rule(READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
      rule(READ, "networking.k8s.io", "networkpolicies ingresses ingresses/status"),
      rule(READ, "resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates"),
    ],
  },
  {
    name: "system:discovery",
    rules: [urls("get", `${HEALTH} /openapi /openapi/* /api /api/* /apis /apis/*`)],
  },
  { name: "system:public-info-viewer", rules: [urls("get", HEALTH)] },
  {
    name: "system:monitoring",
    rules: [urls("get", "/metrics /metrics/slis /livez /readyz /healthz /livez/* /readyz/* /healthz/*")],
  },
  {
    name: "system:basic-user",
    rules: [
      rule("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
      rule("create", "authentication.k8s.io", "selfsubjectreviews"),
    ],
  },
];

const componentRoles: readonly RolePolicy[] = [
  { name: "system:node", rules: nodeRules },
  {
    name: "system:node-problem-detector",
    rules: [rule("get", "core", "nodes"), rule("patch", "core", "nodes/status"), eventsRule()],
  },
  {
    name: "system:node-proxier",
    rules: [
      rule("list watch", "core", "services endpoints"),
      rule(READ, "core", "nodes"),
      eventsRule(),
      rule("list watch", "networking.k8s.io", "servicecidrs"),
      rule("list watch", "discovery.k8s.io", "endpointslices"),
    ],
  },
  {
    name: "system:kubelet-api-admin",
    rules: [
      rule(READ, "core", "nodes"),
      rule("proxy", "core", "nodes"),
      rule("*", "core", "nodes/proxy nodes/metrics nodes/stats nodes/log"),
      rule("*", "core", "nodes/configz nodes/healthz nodes/pods"),
    ],
  },
  { name: "system:node-bootstrapper", rules: [rule(`create ${READ}`, CERTIFICATES, "certificatesigningrequests")] },
  {
    name: "system:auth-delegator",
    rules: [
      rule("create", "authentication.k8s.io", "tokenreviews"),
      rule("create", "authorization.k8s.io", "subjectaccessreviews"),
    ],
  },
  { name: "system:kube-aggregator", rules: [rule(READ, "core", "services endpoints")] },
  {
    name: "system:heapster",
    rules: [rule(READ, "core", "events pods nodes namespaces"), rule(READ, "extensions", "deployments")],
  },
  { name: "system:kube-dns", rules: [rule("list watch", "core", "endpoints services")] },
  {
    name: "system:kube-controller-manager",
    rules: [
      eventsRule(),
      rule("create", "coordination.k8s.io", "leases"),
      rule("get update", "coordination.k8s.io", "leases", "kube-controller-manager"),
      rule("create", "core", "secrets serviceaccounts"),
      rule("delete", "core", "secrets"),
      rule("get", "core", "namespaces secrets serviceaccounts configmaps"),
      rule("update", "core", "secrets serviceaccounts"),
      rule("create", "authentication.k8s.io", "tokenreviews"),
      rule("create", "authorization.k8s.io", "subjectaccessreviews"),
      rule("list watch", "*", "*"),
      rule("create", "core", "serviceaccounts/token"),
    ],
  },
  {
    name: "system:kube-scheduler",
    rules: [
      eventsRule(),
      rule("create", "coordination.k8s.io", "leases"),
      rule("get update list watch", "coordination.k8s.io", "leases", "kube-scheduler"),
      rule(READ, "core", "nodes"),
      rule(`${READ} delete`, "core", "pods"),
      rule("create", "core", "pods/binding bindings"),
      rule("patch update", "core", "pods/status"),
      rule(READ, "core", "services replicationcontrollers"),
      rule(READ, "apps extensions", "replicasets"),
      rule(READ, "apps", "statefulsets"),
      rule(READ, "policy", "poddisruptionbudgets"),
      rule(READ, "core", "persistentvolumeclaims persistentvolumes"),
      rule("create", "authentication.k8s.io", "tokenreviews"),
      rule("create", "authorization.k8s.io", "subjectaccessreviews"),
      rule(READ, STORAGE, "csinodes"),
      rule(READ, STORAGE, "volumeattachments"),
      rule(READ, "core", "namespaces"),
      rule(READ, STORAGE, "csidrivers"),
      rule(READ, STORAGE, "csistoragecapacities"),
      rule(READ, "resource.k8s.io", "deviceclasses"),
      rule(READ_UPDATE, "resource.k8s.io", "resourceclaims"),
      rule(READ_UPDATE, "resource.k8s.io", "resourceclaims/status"),
      rule(READ_UPDATE, "core", "pods/finalizers"),
      rule(READ, "resource.k8s.io", "resourceslices"),
    ],
  },
  {
    name: "system:volume-scheduler",
    rules: [
      rule(READ_UPDATE, "core", "persistentvolumes"),
      rule(READ, STORAGE, "storageclasses"),
      rule(READ_UPDATE, "core", "persistentvolumeclaims"),
    ],
  },
  {
    name: "system:persistent-volume-provisioner",
    rules: [
      rule(`${READ} create delete`, "core", "persistentvolumes"),
      rule(`${READ} update`, "core", "persistentvolumeclaims"),
      rule(READ, STORAGE, "storageclasses"),
      rule("watch", "core", "events"),
      eventsRule(),
    ],
  },
  {
    name: "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
    rules: [rule("create", CERTIFICATES, "certificatesigningrequests/nodeclient")],
  },
  {
    name: "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
    rules: [rule("create", CERTIFICATES, "certificatesigningrequests/selfnodeclient")],
  },
  approver("legacy-unknown-approver", "kubernetes.io/legacy-unknown"),
  approver("kubelet-serving-approver", "kubernetes.io/kubelet-serving"),
  approver("kube-apiserver-client-approver", "kubernetes.io/kube-apiserver-client"),
  approver("kube-apiserver-client-kubelet-approver", "kubernetes.io/kube-apiserver-client-kubelet"),
  {
    name: "system:service-account-issuer-discovery",
    rules: [
      urls(
        "get",
        "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/",
      ),
    ],
  },
];

export const clusterRolePolicies: readonly RolePolicy[] = [...userRoles, ...componentRoles];
