/**
 * Every kind at the level of HTTP: what is stored of the least that it can be made of, what its updates and its status may
 * change, and when its generation grows. The tables in ./kinds say what upstream does.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Json, useApiserver } from "./api-harness.ts";
import { type Change, changes } from "./kinds/changes.ts";
import { clusterCases } from "./kinds/cluster-cases.ts";
import type { KindCase } from "./kinds/kind-case.ts";
import { workloadCases } from "./kinds/workload-cases.ts";

const h = useApiserver({
  prepare: async (harness) => {
    await harness.create("/api/v1/namespaces/default/serviceaccounts", { metadata: { name: "default" } });
    await discover();
  },
});

interface Served {
  readonly path: string;
  readonly subresources: readonly string[];
  readonly verbs: readonly string[];
}

/** By "apps/v1 Deployment"; paths are of the namespace default. */
const served = new Map<string, Served>();

async function discover(): Promise<void> {
  const groups: Json[] = (await h.call("GET", "/apis")).body.groups;
  const versions = groups.flatMap((group) => group.versions.map((v: Json) => v.groupVersion as string));
  for (const version of ["v1", ...versions]) {
    const root = version.includes("/") ? `/apis/${version}` : `/api/${version}`;
    const { resources } = (await h.call("GET", root)).body as { resources: Json[] };
    for (const { name, kind, namespaced, verbs } of resources.filter((r) => !r.name.includes("/"))) {
      const subresources = resources
        .filter((r) => r.name.startsWith(`${name}/`))
        .map((r): string => r.name.slice(name.length + 1));
      const path = `${root}${namespaced ? "/namespaces/default" : ""}/${name}`;
      served.set(`${version} ${kind}`, { path, subresources, verbs });
    }
  }
}

function setAt(object: Json, change: Change): Json {
  const changed = structuredClone(object);
  for (const [path, value] of Object.entries(change)) {
    const keys = path.split(".");
    const last = keys.pop() ?? "";
    let at = changed;
    for (const key of keys) {
      at[key] ??= {};
      at = at[key];
    }
    at[last] = value;
  }
  return changed;
}

function pathOf(kind: string): string {
  return served.get(kind)?.path ?? assert.fail(`${kind} is served`);
}

let made = 0;

/** A new object of the case; under a name of its own, but where the name is more than a name. */
async function make({ kind, name, fields }: KindCase, from: Change = {}, isNamed = false): Promise<Json> {
  const [apiVersion, kindName] = kind.split(" ");
  const isAddress = kindName === "IPAddress";
  const ownName = isAddress ? `10.99.98.${++made}` : `other-${++made}`;
  const metadata = { name: isNamed ? (name ?? "m") : ownName };
  return h.create(pathOf(kind), setAt({ apiVersion, kind: kindName, metadata, ...fields }, from));
}

async function put(object: Json, subresource = ""): Promise<{ status: number; body: Json }> {
  return h.call("PUT", `${pathOf(`${object.apiVersion} ${object.kind}`)}/${object.metadata.name}${subresource}`, {
    body: object,
  });
}

async function accept(object: Json, subresource = ""): Promise<Json> {
  const { status, body } = await put(object, subresource);
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

/** Replaces what differs from run to run. */
function steady(value: Json, uid: string): Json {
  if (Array.isArray(value)) return value.map((item) => steady(item, uid));
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, steady(item, uid)]));
  }
  if (typeof value !== "string") return value;
  if (value === uid) return "UID";
  if (value.startsWith("X509SHA256=")) return "FINGERPRINT";
  if (/^10\.(9[6-9]|1[01]\d)\.\d+\.\d+$/.test(value) && value !== "10.99.99.99") return "ADDRESS";
  return /^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(value) ? "TIME" : value;
}

const withoutVersion = ({ metadata, ...rest }: Json): Json => {
  const { resourceVersion: _, managedFields: _m, ...kept } = metadata;
  return { ...rest, metadata: kept };
};

const cases = [...workloadCases, ...clusterCases];

test("the tables know every kind that can be made and changed", () => {
  const wanted = [...served].filter(([, { verbs }]) => verbs.includes("create") && verbs.includes("update"));
  const known = cases.map(({ kind }) => kind);
  assert.deepEqual([...known].sort(), wanted.map(([kind]) => kind).sort());
  assert.deepEqual(Object.keys(changes).sort(), [...known].sort());
  // Conditions of a certificate request come through /approval, a namespace's status through /finalize.
  const lacking = known.filter(
    (kind) => served.get(kind)?.subresources.includes("status") && changes[kind]?.status === undefined,
  );
  assert.deepEqual(lacking.sort(), [
    "certificates.k8s.io/v1 CertificateSigningRequest",
    "resource.k8s.io/v1 ResourceClaim",
    "v1 Namespace",
  ]);
});

for (const kindCase of cases) {
  const { kind, stored, fields = {}, metadata = {}, generation } = kindCase;
  const { spec = {}, generations, status, refused = [] } = changes[kind] ?? {};

  test(`${kind}: the least object is stored with upstream's defaults`, async () => {
    const { apiVersion, kind: kindName, metadata: own, ...rest } = await make(kindCase, {}, true);
    const { name: _, namespace: _n, uid, resourceVersion, creationTimestamp, managedFields: _f, ...more } = own;
    assert.equal(`${apiVersion} ${kindName}`, kind);
    assert.ok(resourceVersion !== undefined && creationTimestamp !== undefined);
    assert.deepEqual(steady(rest, uid), stored ?? fields);
    assert.deepEqual(steady(more, uid), { ...metadata, ...(generation === undefined ? {} : { generation }) });
  });

  test(`${kind}: the generation grows with the spec only, and an update of nothing changes nothing`, async () => {
    const first = await make(kindCase);
    assert.deepEqual(await accept(first), first);
    const changed = await accept(setAt(first, spec));
    assert.notEqual(changed.metadata.resourceVersion, first.metadata.resourceVersion);
    const isSpec = !Object.keys(spec).every((path) => path.startsWith("metadata"));
    const grown = generation !== undefined && isSpec ? generation + 1 : generation;
    const [afterSpec, afterAnnotation] = generations ?? [grown, grown];
    assert.equal(changed.metadata.generation, afterSpec);
    const annotated = await accept(setAt(changed, { "metadata.annotations.x": "y" }));
    assert.equal(annotated.metadata.generation, afterAnnotation);
  });

  if (status !== undefined) {
    test(`${kind}: the status changes through /status alone, and /status changes nothing else`, async () => {
      const first = await make(kindCase);
      const same = await accept(setAt(first, status));
      assert.deepEqual(withoutVersion(same), withoutVersion(first));
      const isMetadata = Object.keys(spec).some((path) => path.startsWith("metadata"));
      const reported = await accept(setAt(setAt(same, isMetadata ? {} : spec), status), "/status");
      assert.deepEqual(withoutVersion({ ...reported, status: 0 }), withoutVersion({ ...first, status: 0 }));
      assert.deepEqual(reported.status, setAt(first, status).status);
    });
  }

  for (const { from, set, want } of refused) {
    test(`${kind}: an update of ${Object.keys(set).join(", ")} is refused`, async () => {
      const answer = await put(setAt(await make(kindCase, from), set));
      assert.equal(answer.status, 422, JSON.stringify(answer.body));
      const causes = (answer.body.details?.causes ?? []).map((cause: Json) => `${cause.field}: ${cause.message}`);
      assert.deepEqual(causes, want);
    });
  }
}

const mandatory = [
  ["flowschemas/exempt", "spec.matchingPrecedence", "spec of 'exempt' must equal the fixed value"],
  ["flowschemas/catch-all", "spec.matchingPrecedence", "spec of 'catch-all' must equal the fixed value"],
  [
    "prioritylevelconfigurations/catch-all",
    "spec.limited.nominalConcurrencyShares",
    "spec of 'catch-all' must equal the fixed value",
  ],
] as const;

for (const [name, field, detail] of mandatory) {
  test(`${name}: the spec of what flow control can't do without stays as it is`, async () => {
    const path = `/apis/flowcontrol.apiserver.k8s.io/v1/${name}`;
    const { body } = await h.call("GET", path);
    assert.equal((await h.call("PUT", path, { body })).status, 200);
    const answer = await h.call("PUT", path, { body: setAt(body, { [field]: 77 }) });
    assert.equal(answer.status, 422);
    assert.match(answer.body.message, new RegExp(`spec: Invalid value: .*${detail}$`));
  });
}
