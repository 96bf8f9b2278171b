/**
 * Kustomizations as people write most of them: resources, components, generators, patches, images, replicas, labels,
 * annotations, namespace, name prefix and suffix. What is not known here is refused by name, never left out silently.
 * Source: kubectl.docs.kubernetes.io/references/kustomize/kustomization
 */
import { readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { parse } from "yaml";
import { type Manifest, parseManifests } from "../core/manifests.ts";
import { CliError } from "../verb.ts";
import { type GeneratorArgs, type GeneratorOptions, generateConfig } from "./generators.ts";
import { type Item, originalName } from "./item.ts";
import { type PatchEntry, patchObjects } from "./patches.ts";
import {
  type ImageEntry,
  type LabelEntry,
  renameReferences,
  setAnnotations,
  setImages,
  setLabels,
  setNamespace,
  setReplicas,
} from "./transforms.ts";

interface Kustomization {
  readonly resources?: readonly string[];
  readonly bases?: readonly string[];
  readonly components?: readonly string[];
  readonly namespace?: string;
  readonly namePrefix?: string;
  readonly nameSuffix?: string;
  readonly commonLabels?: Readonly<Record<string, string>>;
  readonly labels?: readonly LabelEntry[];
  readonly commonAnnotations?: Readonly<Record<string, string>>;
  readonly images?: readonly ImageEntry[];
  readonly replicas?: readonly { readonly name: string; readonly count: number }[];
  readonly configMapGenerator?: readonly GeneratorArgs[];
  readonly secretGenerator?: readonly GeneratorArgs[];
  readonly generatorOptions?: GeneratorOptions;
  readonly patches?: readonly PatchEntry[];
  readonly patchesStrategicMerge?: readonly string[];
  readonly patchesJson6902?: readonly PatchEntry[];
}

const KNOWN = new Set([
  "apiVersion",
  "kind",
  "metadata",
  "resources",
  "bases",
  "components",
  "namespace",
  "namePrefix",
  "nameSuffix",
  "commonLabels",
  "labels",
  "commonAnnotations",
  "images",
  "replicas",
  "configMapGenerator",
  "secretGenerator",
  "generatorOptions",
  "patches",
  "patchesStrategicMerge",
  "patchesJson6902",
]);
const FILES = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/** The objects of the kustomization in `folder`. Throws CliError naming the file and what is wrong. */
export async function buildKustomization(folder: string): Promise<Manifest[]> {
  return inOrder(build(resolve(folder), [], [])).map((object) => ({ source: folder, object }));
}

function build(folder: string, above: readonly string[], given: readonly Item[]): Item[] {
  if (above.includes(folder)) {
    throw new CliError(`cycle detected: ${[...above, folder].join(" -> ")}`);
  }
  const { path, file } = read(folder);
  const unknown = Object.keys(file).find((key) => !KNOWN.has(key));
  if (unknown !== undefined) {
    throw new CliError(
      `invalid Kustomization: ${path}: the field ${JSON.stringify(unknown)} is not supported by knarr; kustomize itself may build it`,
    );
  }
  let items: Item[] = [...given];
  for (const name of [...(file.resources ?? []), ...(file.bases ?? [])]) items.push(...load(folder, name, above));
  items = merged(items, file, folder);
  for (const name of file.components ?? []) items = build(resolve(folder, name), [...above, folder], items);
  for (const entry of patchesOf(file)) patchObjects(items, entry, folder);
  if (file.namespace !== undefined) setNamespace(items, file.namespace);
  renameReferences(items, file.namePrefix ?? "", file.nameSuffix ?? "");
  if (file.commonLabels !== undefined) setLabels(items, { pairs: file.commonLabels, includeSelectors: true });
  for (const entry of file.labels ?? []) setLabels(items, entry);
  if (file.commonAnnotations !== undefined) setAnnotations(items, file.commonAnnotations);
  setImages(items, file.images ?? []);
  setReplicas(items, file.replicas ?? []);
  return items;
}

function read(folder: string): { path: string; file: Kustomization & Record<string, unknown> } {
  const path = FILES.map((name) => join(folder, name)).find((p) => isFile(p));
  if (path === undefined) {
    throw new CliError(
      `unable to find one of 'kustomization.yaml', 'kustomization.yml' or 'Kustomization' in directory '${folder}'`,
    );
  }
  try {
    return { path, file: (parse(readFileSync(path, "utf8")) as Kustomization & Record<string, unknown>) ?? {} };
  } catch (error) {
    throw new CliError(`invalid Kustomization: ${path}: ${(error as Error).message.split("\n")[0]}`);
  }
}

const isFile = (path: string) => {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
};

function load(folder: string, name: string, above: readonly string[]): Item[] {
  if (/^(https?:|git@|github\.com)/.test(name)) {
    throw new CliError(
      `accumulating resources from '${name}': remote resources are not supported by knarr; fetch them first`,
    );
  }
  const path = resolve(folder, name);
  if (isFile(path)) return parseManifests(readFileSync(path, "utf8"), path).map(({ object }) => object as Item);
  try {
    statSync(path);
  } catch {
    throw new CliError(
      `accumulating resources: accumulation err='accumulating resources from '${name}': open ${path}: no such file or directory'`,
    );
  }
  return build(path, [...above, folder], []);
}

/** Generated objects join the others, or with behavior merge and replace change one of them. */
function merged(items: readonly Item[], file: Kustomization, folder: string): Item[] {
  const result = [...items];
  const generated = [
    ...(file.configMapGenerator ?? []).map((args) => ({ kind: "ConfigMap" as const, args })),
    ...(file.secretGenerator ?? []).map((args) => ({ kind: "Secret" as const, args })),
  ];
  for (const { kind, args } of generated) {
    const made = generateConfig(kind, args, file.generatorOptions ?? {}, folder);
    const at = result.findIndex((item) => item.kind === kind && originalName(item) === args.name);
    const { behavior = "create" } = args;
    if (behavior === "create" && at >= 0)
      throw new CliError(`may not add resource with an already registered id: ${kind}.${args.name}`);
    if (behavior !== "create" && at < 0)
      throw new CliError(`id ${kind}.${args.name} does not exist; cannot merge or replace`);
    const old = result[at] as (Item & { data?: object }) | undefined;
    if (behavior === "merge" && old !== undefined) {
      result[at] = generateConfig(kind, args, file.generatorOptions ?? {}, folder, old);
    } else if (behavior === "replace") result[at] = made;
    else result.push(made);
  }
  return result;
}

function patchesOf(file: Kustomization): PatchEntry[] {
  return [
    ...(file.patches ?? []),
    ...(file.patchesStrategicMerge ?? []).map((text) => (text.includes("\n") ? { patch: text } : { path: text })),
    ...(file.patchesJson6902 ?? []),
  ];
}

/** kustomize prints kinds that others depend on first. Source: its legacy order transformer. */
const FIRST = [
  "Namespace",
  "ResourceQuota",
  "StorageClass",
  "CustomResourceDefinition",
  "ServiceAccount",
  "PodSecurityPolicy",
  "Role",
  "ClusterRole",
  "RoleBinding",
  "ClusterRoleBinding",
  "ConfigMap",
  "Secret",
  "Endpoints",
  "Service",
  "LimitRange",
  "PriorityClass",
  "PersistentVolume",
  "PersistentVolumeClaim",
  "Deployment",
  "StatefulSet",
  "CronJob",
  "PodDisruptionBudget",
];
const LAST = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

function inOrder(items: readonly Item[]): Item[] {
  const rank = ({ kind }: Item) => {
    const first = FIRST.indexOf(kind);
    if (first >= 0) return first - FIRST.length;
    return LAST.indexOf(kind) + 1;
  };
  const text = (item: Item) => `${item.kind}/${item.metadata.namespace ?? ""}/${item.metadata.name ?? ""}`;
  return items.toSorted((a, b) => rank(a) - rank(b) || (text(a) < text(b) ? -1 : 1));
}
