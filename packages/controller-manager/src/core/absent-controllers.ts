/**
 * Upstream's controllers that aren't in here: `--controllers` knows their names, so that a command line made for upstream's
 * manager works. Source: kubernetes/cmd/kube-controller-manager/names
 */
export const absentControllers: readonly string[] = [
  // Clouds have a manager of their own.
  "service-lb-controller",
  "service",
  "node-route-controller",
  "route",
  "cloud-node-lifecycle-controller",
  "cloud-node-lifecycle",
  // Behind feature gates, or for what the API server doesn't serve.
  "device-taint-eviction-controller",
  "kube-apiserver-serving-clustertrustbundle-publisher-controller",
  "podcertificaterequest-cleaner-controller",
  "selinux-warning-controller",
  "storage-version-migrator-controller",
  "storageversion-garbage-collector-controller",
  "storage-version-gc",
  "validatingadmissionpolicy-status-controller",
];
