/**
 * Keeps ARCHITECTURE's import table: a package may import packages of lower layers only, daemons never import daemons,
 * and a few libraries belong to one package each. Reads manifests and import statements; exits 1 naming each breach.
 */
import { globSync, readFileSync } from "node:fs";

/** Layer of each package. Equal layers don't import each other, unless `sameLayer` says so. */
const layers: Readonly<Record<string, number>> = {
  apimachinery: 0,
  api: 1,
  scheduling: 1,
  daemon: 1,
  client: 2,
  cri: 2,
  netfilter: 2,
  controller: 3,
  cluster: 3,
  apiserver: 4,
  scheduler: 4,
  "controller-manager": 4,
  "cloud-controller-manager": 4,
  kubelet: 4,
  "kube-proxy": 4,
  "cluster-dns": 4,
  "local-path": 4,
  "pod-network": 4,
  cli: 4,
  testkit: 5,
};
/** Imports inside one layer that the table means: scheduling is written in terms of the API's types. */
const sameLayer: readonly [from: string, to: string][] = [["scheduling", "api"]];
/** Who alone may declare a package. */
const reserved: Readonly<Record<string, readonly string[]>> = {
  "@knarr/cri": ["kubelet"],
  "@knarr/netfilter": ["kube-proxy", "pod-network"],
};
interface LayerException {
  readonly from: string;
  readonly to: string;
  /** Tests may use what sources may not. */
  readonly testsOnly: boolean;
  readonly until: string;
  readonly reason: string;
}
const exceptions: readonly LayerException[] = [];

const breaches: string[] = [];
for (const manifestPath of globSync("packages/*/package.json").sort()) {
  const name = manifestPath.split("/")[1] ?? "";
  if (layers[name] === undefined)
    breaches.push(`${manifestPath}: package ${name} has no layer in scripts/check-layers.ts`);
  const manifest = JSON.parse(readFileSync(manifestPath, "utf8")) as { dependencies?: Record<string, string> };
  for (const dependency of Object.keys(manifest.dependencies ?? {})) {
    const owners = reserved[dependency];
    if (owners !== undefined && !owners.includes(name)) {
      breaches.push(`${manifestPath}: only ${owners.join(" and ")} may declare ${dependency}`);
    }
    if (dependency.startsWith("@knarr/")) checkImport(manifestPath, name, dependency.slice("@knarr/".length), false);
  }
}
/** What imports it loads undici, which no daemon needs: 5 to 15 MiB of memory (packages/daemon/src/node-http.ts). */
const heavyBuiltin = /^(?:import|export) (?!type )[^;]*? from "node:http";/m;
const importPattern = /(?:from|import)\s*\(?\s*["']([^"']+)["']/g;
for (const file of globSync("packages/*/{src,test}/**/*.ts").sort()) {
  const name = file.split("/")[1] ?? "";
  const isTest = /\.(test|int)\.ts$/.test(file) || file.split("/")[2] === "test";
  const text = readFileSync(file, "utf8");
  if (!isTest && name !== "testkit" && heavyBuiltin.test(text)) {
    breaches.push(`${file}: imports node:http, which loads undici; use @knarr/daemon/node-http.ts`);
  }
  for (const [, specifier = ""] of text.matchAll(importPattern)) {
    const knarr = /^@knarr\/([^/]+)/.exec(specifier)?.[1];
    if (knarr !== undefined && knarr !== name) checkImport(file, name, knarr, isTest);
    if (specifier.startsWith("../") && escapesPackage(file, specifier)) {
      breaches.push(`${file}: imports ${specifier}, which leaves the package; use @knarr/...`);
    }
  }
}
const today = new Date().toISOString().slice(0, 10);
for (const exception of exceptions) {
  if (exception.until < today)
    breaches.push(`the exception ${exception.from} -> ${exception.to} ended on ${exception.until}`);
}
if (breaches.length > 0) {
  process.stderr.write(`${breaches.join("\n")}\n${breaches.length} breach(es) of the layer table\n`);
  process.exit(1);
}

function checkImport(where: string, from: string, to: string, isTest: boolean): void {
  const fromLayer = layers[from];
  const toLayer = layers[to];
  if (toLayer === undefined)
    return void breaches.push(`${where}: @knarr/${to} has no layer in scripts/check-layers.ts`);
  if (fromLayer === undefined) return;
  if (to === "testkit") {
    if (!isTest) breaches.push(`${where}: only tests import testkit`);
    return;
  }
  if (from === "testkit" || toLayer < fromLayer) return;
  if (sameLayer.some(([a, b]) => a === from && b === to)) return;
  if (exceptions.some((e) => e.from === from && e.to === to && (!e.testsOnly || isTest))) return;
  breaches.push(`${where}: ${from} (L${fromLayer}) may not import ${to} (L${toLayer})`);
}

function escapesPackage(file: string, specifier: string): boolean {
  const parts = file.split("/").slice(0, -1);
  for (const step of specifier.split("/")) {
    if (step === "..") parts.pop();
    else if (step !== ".") parts.push(step);
  }
  return parts[1] !== file.split("/")[1];
}
