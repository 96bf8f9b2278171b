/**
 * What `kubectl explain` says of the types and fields that people ask for most. Our own words: upstream's are the comments of its source.
 * By the end of the OpenAPI name; "" is the type itself. What stands nowhere here has no description.
 */
import type { StructSchema } from "@knarr/api/schema.ts";

type Texts = Readonly<Record<string, string>>;

/** Of every kind. */
const KIND_FIELDS: Texts = {
  apiVersion:
    "Version of the API that the object is written in: GROUP/VERSION, or the version alone for the core group.",
  kind: "What the object is, in CamelCase; with apiVersion it names the type.",
  metadata: "What all objects have: name, namespace, labels, annotations, owners.",
  spec: "What is wanted.",
  status: "What was seen last. The system writes it, and it may lag behind.",
};

const METADATA: Readonly<Record<string, Texts>> = {
  "meta.v1.ObjectMeta": {
    "": "What all stored objects have in common.",
    annotations: "Free notes for tools and people. Nothing is selected by them.",
    creationTimestamp: "When the server stored the object first. Set by the server.",
    deletionGracePeriodSeconds:
      "How long the object may take to end, once its deletion was asked for. Set by the server.",
    deletionTimestamp:
      "When the object shall be gone. Set by the server when somebody deletes it; it cannot be taken back.",
    finalizers: "Who must do something before the object may vanish. Each takes its own entry away when it is done.",
    generateName: "Beginning of a name that the server completes, when there is no name.",
    generation: "Counts changes of what is wanted. Set by the server.",
    labels: "Keys and values that objects are selected by.",
    managedFields: "Who owns which fields, as server-side apply and updates left it.",
    name: "Unique among objects of the kind in the namespace. It cannot be changed.",
    namespace: "The space in which the name is unique; objects of cluster-wide kinds have none.",
    ownerReferences: "Objects that this one depends on. With the last of them it is deleted, too.",
    resourceVersion: "The version of the stored object, for watches and guarded updates. It means nothing else.",
    uid: "Unique over all time, set by the server: tells apart objects that had the same name.",
  },
  "meta.v1.ListMeta": {
    continue: "Where the next page begins; empty on the last one.",
    remainingItemCount: "How many objects are left after this page, if that is known.",
    resourceVersion: "The version of the list: a watch can go on from it.",
  },
  "meta.v1.LabelSelector": {
    "": "Selects objects by their labels. All parts must match; an empty one matches everything.",
    matchExpressions: "Requirements of the form: key, operator, values.",
    matchLabels: "Labels that must have exactly these values.",
  },
  "meta.v1.OwnerReference": {
    blockOwnerDeletion: "Keeps the owner, when it is deleted in the foreground, until this object is gone.",
    controller: "Whether the owner is the one that manages this object.",
  },
  "meta.v1.Condition": {
    lastTransitionTime: "When the status became what it is.",
    message: "For people.",
    observedGeneration: "The generation that this is said of.",
    reason: "For programs: one word in CamelCase.",
    status: "True, False or Unknown.",
    type: "What is true or not.",
  },
};

const PODS: Readonly<Record<string, Texts>> = {
  "core.v1.Pod": { "": "Containers that run together on one node, with one address and shared volumes." },
  "core.v1.PodSpec": {
    "": "What a pod shall be.",
    activeDeadlineSeconds: "After so many seconds on its node the pod is ended as failed.",
    affinity: "Which nodes, and which other pods' company, the pod seeks or shuns.",
    automountServiceAccountToken: "Whether a token of the service account is mounted.",
    containers: "The containers that run side by side. There must be one at least.",
    dnsConfig: "Name servers, search domains and options besides those that the policy gives.",
    dnsPolicy: "Where the pod's resolver is configured from. ClusterFirst unless said otherwise.",
    enableServiceLinks: "Whether Services of the namespace appear as environment variables.",
    ephemeralContainers: "Containers for debugging, added while the pod runs, by their own subresource only.",
    hostNetwork: "Uses the node's network instead of one of its own.",
    hostname: "The pod's host name; its own name when empty.",
    imagePullSecrets: "Secrets in the namespace with credentials for registries.",
    initContainers:
      "Containers that run before the others, one after the other, each to its end, unless it restarts always.",
    nodeName: "The node that the pod runs on. The scheduler fills it in.",
    nodeSelector: "Labels that the node must have.",
    preemptionPolicy: "Whether pods of lower priority may be evicted to make room.",
    priority: "From the priority class: higher goes first.",
    priorityClassName: "The PriorityClass that the priority comes from.",
    readinessGates: "Further conditions that must be true for the pod to be ready.",
    resources: "Amounts for the pod as a whole.",
    restartPolicy: "When containers are started again: Always, OnFailure or Never.",
    runtimeClassName: "The RuntimeClass that says how containers are run.",
    schedulerName: "Who looks for a node.",
    schedulingGates: "While there are any, nobody looks for a node.",
    securityContext: "Users, groups and system settings of all containers.",
    serviceAccountName: "The ServiceAccount that the pod acts as.",
    terminationGracePeriodSeconds:
      "How long containers may take to end before they are killed. 30 unless said otherwise.",
    tolerations: "Taints of nodes that the pod bears.",
    topologySpreadConstraints: "How pods like this one are spread over zones, nodes or other groups of nodes.",
    volumes: "Volumes that containers can mount.",
  },
  "core.v1.PodStatus": {
    conditions: "Whether the pod was scheduled, is initialised, is ready.",
    containerStatuses: "The state of each container.",
    hostIP: "The node's address.",
    initContainerStatuses: "The state of each container that runs before the others.",
    phase: "In one word: Pending, Running, Succeeded, Failed or Unknown.",
    podIP: "The pod's address.",
    podIPs: "All addresses of the pod, one for each family.",
    qosClass: "From requests and limits: Guaranteed, Burstable or BestEffort.",
    startTime: "When the node took the pod over.",
  },
  "core.v1.Container": {
    "": "One container of a pod.",
    args: "Arguments of the entry point; the image's when absent. $(NAME) stands for a variable.",
    command: "The entry point; the image's when absent. No shell is used.",
    env: "Environment variables.",
    envFrom: "ConfigMaps and Secrets whose entries become environment variables.",
    image: "The image's name.",
    imagePullPolicy: "When the image is pulled: Always, IfNotPresent or Never.",
    lifecycle: "What is done after the start and before the end.",
    livenessProbe: "When it fails, the container is started again.",
    name: "Unique in the pod; a DNS label.",
    ports: "Ports that the container listens on. For information, but for hostPort.",
    readinessProbe: "While it fails, no Service sends anything to the pod.",
    resizePolicy: "Whether a change of resources needs a restart.",
    resources: "What is reserved for the container, and how much it may use.",
    restartPolicy: "Always makes an init container one that goes on beside the others.",
    securityContext: "User, capabilities and other rights.",
    startupProbe: "Until it has succeeded, the other probes wait.",
    stdin: "Keeps standard input open.",
    tty: "Gives the container a terminal.",
    volumeDevices: "Block devices, by the name of their volume.",
    volumeMounts: "Where volumes appear in the container's file system.",
    workingDir: "The image's when absent.",
  },
  "core.v1.ResourceRequirements": {
    claims: "Devices, by the name of one of the pod's resource claims.",
    limits: "The most that may be used.",
    requests: "What is reserved. The limits when absent.",
  },
};

const WORKLOADS: Readonly<Record<string, Texts>> = {
  "apps.v1.Deployment": {
    "": "Keeps a number of equal pods running and replaces them step by step when their template changes.",
  },
  "apps.v1.DeploymentSpec": {
    minReadySeconds: "How long a pod must have been ready to count as available.",
    paused: "Whether changes of the template wait.",
    progressDeadlineSeconds: "After so long without progress the rollout is reported as failed.",
    replicas: "How many pods there shall be. 1 unless said otherwise.",
    revisionHistoryLimit: "How many old ReplicaSets are kept for going back. 10 unless said otherwise.",
    selector: "Which pods belong to it. It must match the template's labels and cannot be changed.",
    strategy: "How old pods are replaced by new ones.",
    template: "What its pods look like.",
  },
  "apps.v1.ReplicaSet": { "": "Keeps a number of equal pods running. Deployments make them." },
  "apps.v1.StatefulSet": { "": "Pods with lasting names and volumes of their own, started and replaced in order." },
  "apps.v1.DaemonSet": { "": "One pod on each node that fits." },
  "batch.v1.Job": { "": "Runs pods until enough of them have succeeded." },
  "batch.v1.CronJob": { "": "Makes Jobs at set times." },
  "batch.v1.CronJobSpec": {
    concurrencyPolicy: "Whether a Job may begin while the one before still runs: Allow, Forbid or Replace.",
    jobTemplate: "What its Jobs look like.",
    schedule: "When, as five fields of cron.",
    suspend: "Whether no Jobs are made for now.",
    timeZone: "In which the schedule is meant.",
  },
  "batch.v1.JobSpec": {
    activeDeadlineSeconds: "After so long the Job is ended as failed.",
    backoffLimit: "How many failures are borne.",
    completions: "How many pods must succeed.",
    parallelism: "How many pods may run at once.",
    template: "What its pods look like.",
    ttlSecondsAfterFinished: "When a finished Job is deleted.",
  },
};

const OTHERS: Readonly<Record<string, Texts>> = {
  "core.v1.Service": { "": "A lasting name and address for pods that come and go." },
  "core.v1.ServiceSpec": {
    clusterIP: "The Service's address inside the cluster; None for a Service without one.",
    externalName: "The name that DNS answers with, for the type ExternalName.",
    externalTrafficPolicy: "Whether traffic from outside stays on the node that it came to.",
    ipFamilyPolicy: "One family of addresses, or two.",
    ports: "What is listened on, and where it is sent.",
    selector: "Labels of the pods that requests are sent to.",
    sessionAffinity: "Whether a client stays with one pod: None or ClientIP.",
    type: "How it can be reached: ClusterIP, NodePort, LoadBalancer or ExternalName.",
  },
  "core.v1.ConfigMap": {
    "": "Configuration as keys and values, for pods to read.",
    binaryData: "Entries that are no text, in base64.",
    data: "Entries as text.",
    immutable: "Once true, the entries can't be changed any more.",
  },
  "core.v1.Secret": {
    "": "As a ConfigMap, for what not everybody may read.",
    data: "Entries, in base64.",
    immutable: "Once true, the entries can't be changed any more.",
    stringData: "Entries as plain text, for writing only.",
    type: "What the entries are for; some types demand certain keys.",
  },
  "core.v1.Node": { "": "A machine that runs pods." },
  "core.v1.NodeSpec": {
    podCIDR: "Addresses for the node's pods.",
    providerID: "The machine's name at its provider.",
    taints: "What keeps away pods that don't bear it.",
    unschedulable: "Whether new pods are kept away.",
  },
  "core.v1.NodeStatus": {
    addresses: "How the node can be reached.",
    allocatable: "What is there for pods.",
    capacity: "What is there at all.",
    conditions: "Whether the node is ready, and what it lacks.",
    images: "Images that lie there.",
    nodeInfo: "Versions and identifiers of the machine.",
  },
  "core.v1.Namespace": { "": "A space for names; with it everything in it is deleted." },
  "core.v1.PersistentVolumeClaim": { "": "A wish for storage, and the volume that fulfils it." },
  "core.v1.PersistentVolume": { "": "Storage that exists, whether it is claimed or not." },
  "core.v1.ServiceAccount": { "": "Whom the processes of a pod act as." },
  "core.v1.Event": { "": "Something that happened to an object. Events are forgotten after a while." },
  "networking.v1.Ingress": { "": "Rules that bring HTTP from outside to Services." },
  "networking.v1.NetworkPolicy": { "": "Who may talk to some pods, and whom they may talk to." },
  "rbac.v1.Role": { "": "Rights in one namespace.", rules: "What may be done with which resources." },
  "rbac.v1.ClusterRole": {
    "": "Rights in the whole cluster, or to be given in a namespace.",
    rules: "What may be done with which resources.",
  },
  "rbac.v1.RoleBinding": {
    "": "Gives the rights of a role, in its namespace.",
    roleRef: "The role.",
    subjects: "To whom.",
  },
  "rbac.v1.ClusterRoleBinding": {
    "": "Gives the rights of a role everywhere.",
    roleRef: "The role.",
    subjects: "To whom.",
  },
};

const ALL: Readonly<Record<string, Texts>> = { ...METADATA, ...PODS, ...WORKLOADS, ...OTHERS };

/** Of a field, or of the type itself for "". */
export function descriptionOf(struct: StructSchema, field: string): string | undefined {
  const name = struct.openApiName.split(".").slice(-3).join(".");
  const texts = Object.hasOwn(ALL, name) ? ALL[name] : undefined;
  if (texts !== undefined && Object.hasOwn(texts, field)) return texts[field];
  return struct.isKind && Object.hasOwn(KIND_FIELDS, field) ? KIND_FIELDS[field] : undefined;
}
