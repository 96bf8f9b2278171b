/** What a kustomization does to every object: names, namespace, labels, annotations, images, replicas. */
import { type Item, originalName, rememberName } from "./item.ts";

type Fields = Record<string, unknown>;
const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const CLUSTER_KINDS = new Set(
  "Namespace Node PersistentVolume ClusterRole ClusterRoleBinding CustomResourceDefinition StorageClass PriorityClass IngressClass RuntimeClass APIService CSIDriver CSINode VolumeAttachment MutatingWebhookConfiguration ValidatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding FlowSchema PriorityLevelConfiguration CertificateSigningRequest".split(
    " ",
  ),
);

export function setNamespace(items: readonly Item[], namespace: string): void {
  for (const item of items) {
    if (item.kind === "Namespace") continue;
    if (!CLUSTER_KINDS.has(item.kind)) item.metadata.namespace = namespace;
    if (!item.kind.endsWith("Binding")) continue;
    // Service accounts that are built here move along; "default" stands for the namespace's own.
    for (const subject of ((item as unknown as Fields).subjects as Fields[] | undefined) ?? []) {
      const known = items.some((i) => i.kind === "ServiceAccount" && originalName(i) === subject.name);
      if (subject.kind === "ServiceAccount" && (known || subject.name === "default")) subject.namespace = namespace;
    }
  }
}

/** Kinds by the fields that name them. Source: kustomize's default name reference configuration. */
const REFERENCES: Readonly<Record<string, readonly string[]>> = {
  configMap: ["ConfigMap"],
  configMapRef: ["ConfigMap"],
  configMapKeyRef: ["ConfigMap"],
  secretRef: ["Secret"],
  secretKeyRef: ["Secret"],
  persistentVolumeClaim: ["PersistentVolumeClaim"],
  service: ["Service"],
};
const NAME_FIELDS: Readonly<Record<string, string>> = {
  secretName: "Secret",
  claimName: "PersistentVolumeClaim",
  serviceAccountName: "ServiceAccount",
  serviceAccount: "ServiceAccount",
  serviceName: "Service",
  priorityClassName: "PriorityClass",
  storageClassName: "StorageClass",
  ingressClassName: "IngressClass",
};

/** Puts prefix and suffix around every name, and changes what refers to the names, hashes of generators included. */
export function renameReferences(items: readonly Item[], prefix: string, suffix: string): void {
  const renamed = new Map<string, string>();
  for (const item of items) {
    const old = originalName(item);
    const current = item.metadata.name ?? "";
    const keeps = item.kind === "Namespace" || item.kind === "CustomResourceDefinition";
    const next = keeps
      ? current
      : `${prefix}${current.startsWith(old) ? `${old}${suffix}${current.slice(old.length)}` : `${current}${suffix}`}`;
    if (next !== old) renamed.set(`${item.kind}/${old}`, next);
    item.metadata.name = next;
    rememberName(item, old);
  }
  if (renamed.size === 0) return;
  for (const item of items) {
    for (const [key, value] of Object.entries(item)) if (key !== "metadata") visit(value, renamed);
  }
}

function visit(value: unknown, renamed: ReadonlyMap<string, string>): void {
  if (Array.isArray(value)) {
    for (const inner of value) visit(inner, renamed);
    return;
  }
  if (!isFields(value)) return;
  for (const [key, inner] of Object.entries(value)) {
    const kind = NAME_FIELDS[key];
    if (kind !== undefined && typeof inner === "string") value[key] = renamed.get(`${kind}/${inner}`) ?? inner;
    if (isFields(inner) && typeof inner.name === "string") {
      for (const target of REFERENCES[key] ?? [])
        inner.name = renamed.get(`${target}/${inner.name as string}`) ?? inner.name;
    }
    visit(inner, renamed);
  }
  // roleRef, subjects, scaleTargetRef: they say their kind themselves.
  if (typeof value.kind === "string" && typeof value.name === "string") {
    value.name = renamed.get(`${value.kind}/${value.name}`) ?? value.name;
  }
}

export interface LabelEntry {
  readonly pairs: Readonly<Record<string, string>>;
  readonly includeSelectors?: boolean;
  readonly includeTemplates?: boolean;
}

export function setLabels(items: readonly Item[], { pairs, includeSelectors, includeTemplates }: LabelEntry): void {
  for (const item of items) {
    add(item.metadata as Fields, "labels", pairs);
    const spec = (item as unknown as Fields).spec;
    if (!isFields(spec)) continue;
    if (includeSelectors === true || includeTemplates === true) {
      const job = isFields(spec.jobTemplate) ? spec.jobTemplate : undefined;
      if (job !== undefined) add(inside(job, "metadata"), "labels", pairs);
      const inner = isFields(job?.spec) ? job.spec : spec;
      if (isFields(inner.template)) add(inside(inner.template, "metadata"), "labels", pairs);
    }
    if (includeSelectors !== true) continue;
    if (item.kind === "Service" || item.kind === "ReplicationController") {
      if (spec.selector !== undefined) spec.selector = { ...(spec.selector as Fields), ...pairs };
    } else if (["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"].includes(item.kind)) {
      add(inside(spec, "selector"), "matchLabels", pairs);
    }
  }
}

export function setAnnotations(items: readonly Item[], pairs: Readonly<Record<string, string>>): void {
  for (const item of items) {
    add(item.metadata as Fields, "annotations", pairs);
    const spec = (item as unknown as Fields).spec;
    if (isFields(spec) && isFields(spec.template)) add(inside(spec.template, "metadata"), "annotations", pairs);
  }
}

/** The field as an object; made when it is not there. */
function inside(holder: Fields, field: string): Fields {
  if (!isFields(holder[field])) holder[field] = {};
  return holder[field] as Fields;
}

function add(holder: Fields, field: string, pairs: Readonly<Record<string, string>>): void {
  holder[field] = { ...(holder[field] as Fields | undefined), ...pairs };
}

export interface ImageEntry {
  readonly name: string;
  readonly newName?: string;
  readonly newTag?: string;
  readonly digest?: string;
}

export function setImages(items: readonly Item[], images: readonly ImageEntry[]): void {
  const change = (value: unknown): void => {
    if (Array.isArray(value)) for (const inner of value) change(inner);
    else if (isFields(value)) {
      for (const [key, inner] of Object.entries(value)) {
        if (
          (key === "containers" || key === "initContainers" || key === "ephemeralContainers") &&
          Array.isArray(inner)
        ) {
          for (const container of inner.filter(isFields)) {
            if (typeof container.image === "string") container.image = imageOf(container.image, images);
          }
        } else change(inner);
      }
    }
  };
  if (images.length > 0) for (const item of items) change((item as unknown as Fields).spec);
}

function imageOf(image: string, images: readonly ImageEntry[]): string {
  const [, name = image, rest = ""] = /^(.*?)((?:@sha256:.*)|(?::[^:/]+(?:@.*)?))?$/.exec(image) ?? [];
  const entry = images.find((i) => i.name === name);
  if (entry === undefined) return image;
  const base = entry.newName ?? name;
  if (entry.digest !== undefined) return `${base}@${entry.digest}`;
  return entry.newTag === undefined ? `${base}${rest}` : `${base}:${entry.newTag}`;
}

export function setReplicas(
  items: readonly Item[],
  replicas: readonly { readonly name: string; readonly count: number }[],
): void {
  for (const { name, count } of replicas) {
    for (const item of items.filter((i) => originalName(i) === name)) {
      if (!["Deployment", "ReplicaSet", "StatefulSet", "ReplicationController"].includes(item.kind)) continue;
      inside(item as unknown as Fields, "spec").replicas = count;
    }
  }
}
