/**
 * What a request asks for, read from its method and URL alone: the attributes that authorisation, audit, metrics and
 * dispatch share. Pure.
 *
 * Example: GET /apis/apps/v1/namespaces/shop/deployments/web/scale
 *   -> { verb: "get", group: "apps", version: "v1", namespace: "shop", resource: "deployments", name: "web",
 *        subresource: "scale" }
 *
 * Source: k8s.io/apiserver/pkg/endpoints/request/requestinfo.go
 */

export interface RequestInfo {
  readonly isResourceRequest: boolean;
  /** The path as it came, without the query; for non-resource rules. */
  readonly path: string;
  /** get, list, watch, create, update, patch, delete, deletecollection; for non-resource requests the method in lower case. */
  readonly verb: string;
  /** "api" or "apis", "" for non-resource requests. */
  readonly prefix: "" | "api" | "apis";
  readonly group: string;
  readonly version: string;
  readonly namespace: string;
  readonly resource: string;
  readonly subresource: string;
  /** From the path, or of a list or watch whose field selector names exactly one. */
  readonly name: string;
  /** From the path alone. */
  readonly pathName: string;
  /** What follows the subresource, undecoded and with its leading slash, for /proxy; "" when nothing does. */
  readonly rest: string;
}

const VERB_OF_METHOD: ReadonlyMap<string, string> = new Map([
  ["POST", "create"],
  ["GET", "get"],
  ["HEAD", "get"],
  ["PUT", "update"],
  ["PATCH", "patch"],
  ["DELETE", "delete"],
]);

/** Below namespaces/NAME these are subresources of the namespace, anything else is a resource inside it. */
const NAMESPACE_SUBRESOURCES = new Set(["status", "finalize"]);

/** Throws URIError for a malformed percent escape. */
export function parseRequestInfo(method: string, path: string, query: URLSearchParams): RequestInfo {
  const parts = splitPath(path);
  const prefix = parts[0];
  const isLegacy = prefix === "api";
  if ((!isLegacy && prefix !== "apis") || parts.length < (isLegacy ? 3 : 4)) {
    return nonResource(method, path);
  }
  const group = isLegacy ? "" : decode(parts[1]);
  const version = decode(isLegacy ? parts[1] : parts[2]);
  let rest = parts.slice(isLegacy ? 2 : 3);
  let verb = VERB_OF_METHOD.get(method) ?? method.toLowerCase();
  // The deprecated form of a watch: /api/v1/watch/namespaces/NS/pods.
  if (rest[0] === "watch" && rest.length > 1) {
    verb = "watch";
    rest = rest.slice(1);
  }
  let namespace = "";
  if (rest[0] === "namespaces" && rest.length > 1) {
    namespace = decode(rest[1]);
    if (rest.length > 2 && !NAMESPACE_SUBRESOURCES.has(rest[2] ?? "")) rest = rest.slice(2);
  }
  const resource = decode(rest[0]);
  const name = decode(rest[1]);
  const subresource = decode(rest[2]);
  return {
    isResourceRequest: true,
    path,
    verb: collectionVerb(verb, name, query),
    prefix: isLegacy ? "api" : "apis",
    group,
    version,
    namespace,
    resource,
    subresource,
    name: name === "" ? nameFromFieldSelector(verb, query) : name,
    pathName: name,
    rest: rest.length > 3 || (subresource !== "" && path.endsWith("/")) ? restOf(path, rest) : "",
  };
}

/**
 * The parts between slashes; slashes at both ends do not count, an empty part between two is one: /api/v1//pods is no list of pods.
 * Escaped slashes divide as well, but what a proxy hands on stays as it came.
 */
export function splitPath(path: string): string[] {
  let start = 0;
  let end = path.length;
  while (path[start] === "/") start++;
  while (end > start && path[end - 1] === "/") end--;
  if (start === end) return [];
  const trimmed = path.slice(start, end);
  return (trimmed.includes("%") && !trimmed.includes("/proxy") ? trimmed.replaceAll(/%2f/gi, "/") : trimmed).split("/");
}

/** The undecoded tail after the subresource: "/metrics/" of ".../pods/web/proxy/metrics/". */
function restOf(path: string, rest: readonly string[]): string {
  const head = `/${rest.slice(0, 3).join("/")}`;
  const at = path.lastIndexOf(`${head}/`);
  return at < 0 ? `/${rest.slice(3).join("/")}` : path.slice(at + head.length);
}

function nonResource(method: string, path: string): RequestInfo {
  return {
    isResourceRequest: false,
    path,
    verb: method.toLowerCase(),
    prefix: "",
    group: "",
    version: "",
    namespace: "",
    resource: "",
    subresource: "",
    name: "",
    pathName: "",
    rest: "",
  };
}

function collectionVerb(verb: string, name: string, query: URLSearchParams): string {
  if (name !== "") return verb;
  if (verb === "delete") return "deletecollection";
  if (verb !== "get") return verb;
  return isTrue(query.get("watch")) ? "watch" : "list";
}

/** A list or watch of exactly one name is authorised as that name. */
function nameFromFieldSelector(verb: string, query: URLSearchParams): string {
  if (verb !== "get" && verb !== "watch" && verb !== "delete") return "";
  const match = /^metadata\.name=([^,=!]+)$/.exec(query.get("fieldSelector") ?? "");
  return match?.[1] ?? "";
}

/** Go's strconv.ParseBool, with absence and nonsense as false and the empty text (`?watch`) as upstream reads it: true. */
export function isTrue(text: string | null): boolean {
  return text !== null && !["0", "f", "F", "false", "FALSE", "False"].includes(text);
}

function decode(part: string | undefined): string {
  if (part === undefined) return "";
  return part.includes("%") ? decodeURIComponent(part) : part;
}
