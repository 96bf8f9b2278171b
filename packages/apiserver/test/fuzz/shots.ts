/**
 * What the fuzzer sends: one generator per surface, each a pure function of its randomness, so that a seed and an index
 * bring back any shot.
 */
import type { KindDescriptor } from "@knarr/api/descriptor.ts";
import { allKinds } from "@knarr/api/kinds/index.ts";
import { stringifyJson } from "@knarr/apimachinery/json.ts";
import { deepJson, hostileNumber, hostileText, hostileValue, mutated, YAML_TEXTS, yamlBomb } from "./hostile-values.ts";
import { Random } from "./random.ts";
import { randomObject } from "./random-object.ts";
import { randomProtobuf } from "./random-protobuf.ts";

export interface Shot {
  readonly surface: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

/** Created before the first shot: what patches, reads and subresources find. */
export const SEEDS: readonly { readonly path: string; readonly body: object }[] = [
  {
    path: "/api/v1/namespaces/default/serviceaccounts",
    body: { ...named("v1", "ServiceAccount", {}), metadata: { name: "default" } },
  },
  { path: "/api/v1/namespaces/default/configmaps", body: named("v1", "ConfigMap", { data: { a: "1" } }) },
  { path: "/api/v1/namespaces/default/secrets", body: named("v1", "Secret", { stringData: { a: "1" } }) },
  {
    path: "/api/v1/namespaces/default/services",
    body: named("v1", "Service", {
      spec: {
        selector: { a: "b" },
        ports: [
          { name: "a", port: 80 },
          { name: "b", port: 81 },
        ],
      },
    }),
  },
  {
    path: "/apis/apps/v1/namespaces/default/deployments",
    body: named("apps/v1", "Deployment", {
      spec: { selector: { matchLabels: { a: "b" } }, template: podTemplate() },
    }),
  },
  {
    path: "/api/v1/namespaces/default/pods",
    body: named("v1", "Pod", { spec: { automountServiceAccountToken: false, ...podTemplate().spec } }),
  },
  {
    path: "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles",
    body: named("rbac.authorization.k8s.io/v1", "Role", {
      rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }],
    }),
  },
];

function named(apiVersion: string, kind: string, rest: object): object {
  return { apiVersion, kind, metadata: { name: "seed", labels: { a: "b" } }, ...rest };
}

function podTemplate(): { metadata: object; spec: object } {
  return { metadata: { labels: { a: "b" } }, spec: { containers: [{ name: "c", image: "busybox" }] } };
}

const JSON_TYPE = "application/json";
const PATCH_TYPES = [
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
  "application/apply-patch+yaml",
] as const;

const kindOf = new Map(allKinds.map((kind) => [`${kind.ref.group}/${kind.ref.version}/${kind.ref.kind}`, kind]));

export function collectionPath({ ref }: KindDescriptor, namespace = "default"): string {
  const root = ref.group === "" ? `/api/${ref.version}` : `/apis/${ref.group}/${ref.version}`;
  return `${root}${ref.namespaced ? `/namespaces/${namespace}` : ""}/${ref.resource}`;
}

function jsonBody(random: Random, kind: KindDescriptor): Buffer {
  const text = stringifyJson(randomObject(random, kind.ref, random.pick([0, 0.02, 0.1, 0.4])));
  if (random.chance(0.1)) return mutated(random, Buffer.from(text));
  // Duplicate keys, which no serialiser writes.
  if (random.chance(0.05)) return Buffer.from(text.replace("{", `{"metadata":${stringifyJson(hostileValue(random))},`));
  return Buffer.from(text);
}

/** Most writes leave nothing behind, so that a long run does not fill the store. */
const writeQuery = (random: Random): string =>
  `dryRun=All${random.chance(0.3) ? `&fieldValidation=${random.pick(["Strict", "Warn", "Ignore", "x"])}` : ""}`;

function create(random: Random): Shot {
  const kind = random.pick(allKinds);
  const query = writeQuery(random);
  const at = { surface: "json", method: "POST", path: `${collectionPath(kind)}?${query}` };
  return { ...at, headers: { "content-type": JSON_TYPE }, body: jsonBody(random, kind) };
}

function brokenJson(random: Random): Shot {
  const kind = random.pick(allKinds);
  const body = random.chance(0.5)
    ? deepJson(random)
    : random.pick([
        "",
        "null",
        "1",
        "[]",
        '"x"',
        "{",
        '{"a":}',
        "\u0000",
        "\ufeff{}",
        '{"metadata":[]}',
        '{"metadata":{"name":[]}}',
        '{"spec":null,"status":[[]]}',
        `{"a":${"9".repeat(100_000)}}`,
        `{"a":"\\u${"d800".repeat(2)}"}`,
      ]);
  const method = random.pick(["POST", "PUT"]);
  const path = method === "POST" ? collectionPath(kind) : `${collectionPath(kind)}/seed`;
  return {
    surface: "json-syntax",
    method,
    path: `${path}?dryRun=All`,
    headers: { "content-type": JSON_TYPE },
    body: Buffer.from(body),
  };
}

function yaml(random: Random): Shot {
  const kind = random.pick(allKinds);
  const text = random.pick([
    () => yamlBomb(random),
    () => random.pick(YAML_TEXTS),
    () => mutated(random, Buffer.from(yamlOf(randomObject(random, kind.ref, 0.05)))).toString("latin1"),
    () => `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n${random.pick(YAML_TEXTS)}`,
  ])();
  const apply = random.chance(0.3);
  return {
    surface: "yaml",
    method: apply ? "PATCH" : "POST",
    path: apply
      ? `${collectionPath(kind)}/seed?fieldManager=f&${writeQuery(random)}`
      : `${collectionPath(kind)}?${writeQuery(random)}`,
    headers: { "content-type": apply ? "application/apply-patch+yaml" : "application/yaml" },
    body: Buffer.from(text),
  };
}

/** Flow style is JSON, which YAML contains; keys without quotes where they need none. */
function yamlOf(value: unknown): string {
  return stringifyJson(value).replace(/"([a-z]+)":/g, "$1: ");
}

function protobuf(random: Random): Shot {
  const kind = random.pick(allKinds);
  const headers = {
    "content-type": "application/vnd.kubernetes.protobuf",
    accept: random.pick(["application/vnd.kubernetes.protobuf", JSON_TYPE, "*/*"]),
  };
  const body = random.chance(0.1) ? random.bytes(random.int(200)) : randomProtobuf(random, kind.ref);
  return { surface: "protobuf", method: "POST", path: `${collectionPath(kind)}?${writeQuery(random)}`, headers, body };
}

function patch(random: Random): Shot {
  const seed = random.pick(SEEDS);
  const type = random.pick(PATCH_TYPES);
  const sub = random.chance(0.2) ? random.pick(["/status", "/scale", "/ephemeralcontainers", "/resize"]) : "";
  const apply = type === "application/apply-patch+yaml";
  const query = `${writeQuery(random)}${apply ? "&fieldManager=fuzz" : ""}${random.chance(0.2) ? "&force=true" : ""}`;
  return {
    surface: "patch",
    method: "PATCH",
    path: `${seed.path}/${random.chance(0.85) ? "seed" : "fresh"}${sub}?${query}`,
    headers: { "content-type": type },
    body: Buffer.from(random.chance(0.1) ? deepJson(random) : stringifyJson(patchBody(random, type, seed.body))),
  };
}

function patchBody(random: Random, type: (typeof PATCH_TYPES)[number], seed: object): unknown {
  const { apiVersion, kind } = seed as { apiVersion: string; kind: string };
  const [group, version] = apiVersion.includes("/") ? apiVersion.split("/") : ["", apiVersion];
  const descriptor = kindOf.get(`${group}/${version}/${kind}`);
  if (descriptor === undefined) throw new Error(`no kind ${apiVersion} ${kind}`);
  if (type === "application/json-patch+json") {
    const paths = [
      "",
      "/",
      "/metadata/labels",
      "/metadata/labels/a",
      "/data/a",
      "/spec/ports/0",
      "/spec/ports/-",
      "/spec/ports/99999999999",
      "/spec",
      "/__proto__/x",
      "/constructor/prototype/x",
      "/metadata/~2",
      "/spec/template/spec/containers/-1",
      "/kind",
      "/metadata/name",
      "/metadata/uid",
    ];
    return Array.from({ length: random.int(5) }, () => ({
      op: random.pick(["add", "remove", "replace", "move", "copy", "test", "", "x"]),
      path: random.chance(0.8) ? random.pick(paths) : hostileText(random),
      from: random.pick(paths),
      value: hostileValue(random),
    }));
  }
  const body = randomObject(random, descriptor.ref, random.pick([0, 0.1, 0.4]));
  if (random.chance(0.3)) delete body.metadata;
  if (random.chance(0.3)) {
    const inner = body.spec;
    const spot = (typeof inner === "object" && inner !== null && random.chance(0.5) ? inner : body) as Record<
      string,
      unknown
    >;
    spot[
      random.pick([
        "$patch",
        "$retainKeys",
        "$deleteFromPrimitiveList/finalizers",
        "$setElementOrder/ports",
        "$setElementOrder/x",
      ])
    ] = random.pick(["delete", "replace", "merge", [], ["a"], [{ port: 1 }], hostileValue(random)]);
  }
  return body;
}

function query(random: Random): Shot {
  const kind = random.pick(allKinds.filter((one) => one.verbs.includes("list")));
  const names = [
    "labelSelector",
    "fieldSelector",
    "limit",
    "continue",
    "resourceVersion",
    "resourceVersionMatch",
    "timeoutSeconds",
    "timeout",
    "watch",
    "sendInitialEvents",
    "allowWatchBookmarks",
    "pretty",
    "includeObject",
    "dryRun",
    "fieldManager",
    "gracePeriodSeconds",
    "propagationPolicy",
    "__proto__",
    "constructor",
  ];
  const values = () =>
    random.pick([
      () => hostileText(random),
      () => String(hostileNumber(random)),
      () =>
        random.pick([
          "a in (b,c)",
          "a notin ()",
          "!a",
          "a in (",
          "a=b,,c",
          "a>1",
          "a<x",
          ",".repeat(5_000),
          "(".repeat(5_000),
          "a=b,".repeat(3_000),
          "metadata.name=a\\",
          "metadata.name=\\,\\=",
          "status.phase!=",
          "spec.nodeName==x",
          "metadata.name=__proto__",
          "__proto__=x",
        ]),
      () => Buffer.from(stringifyJson(hostileValue(random))).toString("base64"),
      () =>
        Buffer.from(
          stringifyJson({ v: "meta.k8s.io/v1", rv: hostileValue(random), start: hostileText(random) }),
        ).toString("base64url"),
      () => random.pick(["true", "false", "0", "1", "Exact", "NotOlderThan", "1ns", "-5s", "9999999h", "All"]),
    ])();
  const parts = Array.from(
    { length: 1 + random.int(4) },
    () =>
      `${random.pick(names)}=${random.chance(0.05) ? hostileText(random).replace(/[^\x21-\x7e]/g, "") : encodeURIComponent(values().toWellFormed())}`,
  );
  const method = random.chance(0.9) ? "GET" : "DELETE";
  const path = method === "DELETE" ? `/api/v1/namespaces/fuzz-none/configmaps` : collectionPath(kind);
  const accept = random.pick([
    JSON_TYPE,
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    ";;;,,q=",
    "*/*;q=abc",
    hostileText(random),
  ]);
  return { surface: "query", method, path: `${path}?${parts.join("&")}`, headers: { accept: headerSafe(accept) } };
}

const headerSafe = (text: string): string => text.replace(/[^\x20-\x7e]/g, "?").slice(0, 4_000);

function path(random: Random): Shot {
  const piece = () =>
    random.pick([
      "api",
      "apis",
      "v1",
      "apps",
      "namespaces",
      "default",
      "pods",
      "seed",
      "status",
      "log",
      "watch",
      "proxy",
      "exec",
      "attach",
      "portforward",
      "scale",
      "eviction",
      "binding",
      "token",
      "openapi",
      "v2",
      "v3",
      "metrics",
      "healthz",
      "livez",
      "debug",
      ".well-known",
      "__proto__",
      "constructor",
      "hasOwnProperty",
      "..",
      ".",
      "%2e%2e",
      "%2f",
      "%00",
      "%",
      "%zz",
      "%ff%fe",
      "%F0%9F%92%A9",
      "a%2Fb",
      "",
      ";",
      ":80",
      "https:x:1",
      "a:b:c:d",
      "x".repeat(300),
      "é",
      random.word(),
    ]);
  const parts = Array.from({ length: 1 + random.int(9) }, piece);
  const start = random.pick([
    "/",
    "/api/v1/",
    "/apis/apps/v1/",
    "/api/v1/namespaces/default/",
    "/api/v1/namespaces/default/pods/seed/",
    "/openapi/v3/",
    "//",
    "/api//v1//",
  ]);
  const method = random.pick([
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "LOCK",
    "PROPFIND",
    "QUERY",
  ]);
  // Nothing that exists is deleted: other shots need it.
  const target = `${start}${parts.join("/")}`.replace(/[^\x21-\x7e]/g, (c) => encodeURIComponent(c));
  return {
    surface: "path",
    method: method === "DELETE" && target.includes("default") ? "GET" : method,
    path: target,
    headers: {},
  };
}

function subresource(random: Random): Shot {
  const kind = random.pick(allKinds.filter((one) => one.subresources.length > 0));
  const sub = random.pick(kind.subresources);
  const method = random.pick(["GET", "POST", "PUT", "PATCH"]);
  const query = random.pick([
    "",
    "?container=c&stdout=true",
    "?command=x&stdin=true&stderr=1&tty=x",
    "?tailLines=-1",
    "?sinceSeconds=abc&follow=true",
    "?limitBytes=0",
    "?sinceTime=x",
    "?ports=99999",
    "?path=/../../..",
    "?dryRun=All",
  ]);
  const body = randomObject(
    random,
    { ...kind.ref, group: sub.group ?? kind.ref.group, version: sub.version ?? kind.ref.version, kind: sub.kind },
    0.1,
  );
  const name = random.pick(["seed", "none", "https:seed:", "seed:http", "a:b:c:d", "%00", "__proto__"]);
  return {
    surface: "subresource",
    method,
    path: `${collectionPath(kind)}/${name}/${sub.name}${random.chance(0.3) ? "/x/../y" : ""}${query}`,
    headers: { "content-type": method === "PATCH" ? random.pick(PATCH_TYPES) : JSON_TYPE },
    ...(method === "GET" ? {} : { body: Buffer.from(stringifyJson(body)) }),
  };
}

function headers(random: Random): Shot {
  const names = [
    "accept",
    "accept-encoding",
    "content-type",
    "content-encoding",
    "authorization",
    "impersonate-user",
    "impersonate-group",
    "impersonate-uid",
    "impersonate-extra-x",
    "impersonate-extra-%zz",
    "audit-id",
    "user-agent",
    "x-forwarded-for",
    "x-remote-user",
    "if-none-match",
    "if-match",
    "range",
    "expect",
    "sec-websocket-protocol",
    "te",
    "x-http-method-override",
    "forwarded",
    "priority",
  ];
  const chosen: Record<string, string> = {};
  for (let i = 1 + random.int(4); i > 0; i--) {
    const name = random.pick(names);
    const value = random.pick([
      hostileText(random),
      "Bearer x",
      "Bearer ",
      "Bearer a.b.c",
      `Bearer ${"x".repeat(9_000)}`,
      "Basic AAAA",
      "gzip",
      "gzip;q=0, br",
      "system:masters",
      "a, b;q=,c;;",
      "bytes=0-1",
      "100-continue",
      '"etag"',
      "W/*",
    ]);
    chosen[name] = headerSafe(value);
  }
  if (chosen.expect !== undefined && chosen.expect !== "100-continue") delete chosen.expect;
  const kind = random.pick(allKinds.filter((one) => one.verbs.includes("list")));
  const target = random.pick([
    `${collectionPath(kind)}`,
    "/api",
    "/apis",
    "/openapi/v2",
    "/openapi/v3",
    "/version",
    `${collectionPath(kind)}/seed`,
  ]);
  const post = random.chance(0.3) && target.startsWith(collectionPath(kind)) && !target.endsWith("seed");
  return {
    surface: "headers",
    method: post ? "POST" : "GET",
    path: `${target}${post ? "?dryRun=All" : ""}`,
    headers: chosen,
    ...(post ? { body: jsonBody(random, kind) } : {}),
  };
}

function upgrade(random: Random): Shot {
  const target = random.pick([
    "pods/seed/exec",
    "pods/seed/attach",
    "pods/seed/portforward",
    "pods/seed/log",
    "pods/none/exec",
    "pods/seed/proxy/x",
    "services/seed/proxy/",
    "pods?watch=true",
  ]);
  const key = random.chance(0.8) ? Buffer.from(random.bytes(16)).toString("base64") : headerSafe(hostileText(random));
  return {
    surface: "upgrade",
    method: random.pick(["GET", "POST"]),
    path: `/api/v1/namespaces/default/${target}${target.includes("?") ? "&" : "?"}command=x&stdout=true&container=c`,
    headers: {
      connection: "Upgrade",
      upgrade: random.pick(["websocket", "SPDY/3.1", "h2c", "x", "websocket, SPDY/3.1"]),
      "sec-websocket-key": key,
      "sec-websocket-version": random.pick(["13", "8", "x"]),
      "sec-websocket-protocol": random.pick([
        "v5.channel.k8s.io",
        "v4.channel.k8s.io",
        "base64url.bearer.authorization.k8s.io.AAAA",
        "x",
        "SPDY/3.1+portforward.k8s.io",
        ",,,",
      ]),
    },
  };
}

function oversized(random: Random): Shot {
  const size = 3 * 1024 * 1024 + random.pick([-100, 0, 1, 500_000]);
  const body = Buffer.from(
    `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"big"},"data":{"a":"${"x".repeat(size - 100)}"}}`,
  );
  return {
    surface: "size",
    method: "POST",
    path: "/api/v1/namespaces/default/configmaps?dryRun=All",
    headers: { "content-type": JSON_TYPE },
    body,
  };
}

const GENERATORS: readonly (readonly [weight: number, generate: (random: Random) => Shot])[] = [
  [30, create],
  [5, brokenJson],
  [8, yaml],
  [12, protobuf],
  [18, patch],
  [12, query],
  [10, path],
  [8, subresource],
  [6, headers],
  [3, upgrade],
  [0.05, oversized],
];
const TOTAL = GENERATORS.reduce((sum, [weight]) => sum + weight, 0);

/** The shot number `index` of the run with `seed`. */
export function shotOf(seed: number, index: number): Shot {
  const random = new Random(Math.imul(seed, 1_000_003) + index);
  let at = random.next() * TOTAL;
  for (const [weight, generate] of GENERATORS) {
    at -= weight;
    if (at < 0) return generate(random);
  }
  return create(random);
}
