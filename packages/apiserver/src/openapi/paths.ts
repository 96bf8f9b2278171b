/**
 * The operations of a group and version: for each resource its paths, verbs, parameters and bodies. Pure.
 * Source: k8s.io/apiserver/pkg/endpoints/installer.go
 */
import type { KindDescriptor } from "@knarr/api/descriptor.ts";
import { kindSchema, type StructSchema, structSchema } from "@knarr/api/schema.ts";
import { apiVersionOf, resourcePath } from "@knarr/apimachinery/resource.ts";
import { returnsDeleted } from "../registry/returns-deleted.ts";
import { SERVER_VERSION } from "../server-version.ts";
import { capital, operationId, tagOf } from "./operation-names.ts";
import { type Json, type SchemaSet, sorted } from "./schemas.ts";

const PATCH_TYPES = [
  "application/apply-patch+yaml",
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
];
const PROTOBUF = "application/vnd.kubernetes.protobuf";
const BODY_TYPES = ["application/json", PROTOBUF, "application/yaml"];
const WATCH_TYPES = ["application/json;stream=watch", `${PROTOBUF};stream=watch`];
const LIST_TYPES = [...BODY_TYPES, ...WATCH_TYPES];

type Method = "get" | "post" | "put" | "patch" | "delete" | "head" | "options";

interface Operation {
  readonly method: Method;
  readonly action: string;
  readonly id: string;
  readonly tag: string;
  /** Absent for discovery. */
  readonly gvk?: Json;
  readonly description: string;
  readonly body?: Json;
  readonly result: Json;
  readonly parameters: readonly Json[];
  /** Other codes of success than 200, with what they mean. */
  readonly also?: Json;
  /** Of answers; default: those of objects. */
  readonly mediaTypes?: readonly string[];
}

const CREATED = { "201": "Created" };
/** What may still wait for something: a delete for a grace period or finalizers. */
const ACCEPTED = { "202": "Accepted" };

/** Subresources that lead on to a kubelet or a service, with any of their methods. */
const CONNECTING = new Set(["attach", "exec", "portforward", "proxy"]);

const writeParameters = [
  ["dryRun", "string"],
  ["fieldManager", "string"],
  ["fieldValidation", "string"],
] as const;
const listParameters = [
  ["allowWatchBookmarks", "boolean"],
  ["continue", "string"],
  ["fieldSelector", "string"],
  ["labelSelector", "string"],
  ["limit", "integer"],
  ["resourceVersion", "string"],
  ["resourceVersionMatch", "string"],
  ["sendInitialEvents", "boolean"],
  ["timeoutSeconds", "integer"],
  ["watch", "boolean"],
] as const;
const deleteParameters = [
  ["dryRun", "string"],
  ["gracePeriodSeconds", "integer"],
  ["ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"],
  ["orphanDependents", "boolean"],
  ["propagationPolicy", "string"],
] as const;

export class PathBuilder {
  readonly #schemas: SchemaSet;
  readonly paths: Json = {};

  constructor(schemas: SchemaSet) {
    this.#schemas = schemas;
  }

  /** Adds a resource's paths and schemas; kinds without a field table are left out. */
  add(descriptor: KindDescriptor): void {
    const { ref } = descriptor;
    const struct = kindSchema(ref.group, ref.version, ref.kind);
    if (struct === undefined) return;
    const object = this.#schemas.addKind(struct, [gvkOf(ref)]);
    const listStruct = kindSchema(ref.group, ref.version, descriptor.listKind);
    const list =
      listStruct === undefined
        ? object
        : this.#schemas.addKind(listStruct, [{ ...gvkOf(ref), kind: descriptor.listKind }]);
    const scoped = resourcePath(ref, ref.namespaced ? "{namespace}" : "")
      .replaceAll("%7B", "{")
      .replaceAll("%7D", "}");
    const verbs = new Set<string>(descriptor.verbs);
    this.#collection(descriptor, scoped, verbs, object, list);
    if (ref.namespaced && verbs.has("list")) {
      const all = resourcePath(ref);
      const suffix = "ForAllNamespaces";
      this.#set(all, false, [
        this.#operation(descriptor, "get", "list", list, { parameters: [], suffix, mediaTypes: LIST_TYPES }),
      ]);
      this.#addShared(all, listParameters);
    }
    this.#item(descriptor, `${scoped}/{name}`, verbs, object);
    if (verbs.has("watch")) this.#watches(descriptor, scoped);
    for (const subresource of descriptor.subresources) this.#subresource(descriptor, scoped, subresource, object);
  }

  #collection(descriptor: KindDescriptor, path: string, verbs: Set<string>, object: Json, list: Json): void {
    const operations: Operation[] = [];
    if (verbs.has("list")) {
      const rest = { parameters: parameters(listParameters), mediaTypes: LIST_TYPES };
      operations.push(this.#operation(descriptor, "get", "list", list, rest));
    }
    if (verbs.has("create")) {
      operations.push(
        this.#operation(descriptor, "post", "post", object, {
          body: object,
          parameters: parameters(writeParameters),
          also: { ...CREATED, ...ACCEPTED },
        }),
      );
    }
    if (verbs.has("deletecollection")) {
      operations.push(
        this.#operation(descriptor, "delete", "deletecollection", this.#meta("Status"), {
          body: this.#deleteOptions(descriptor),
          parameters: parameters([
            ...deleteParameters,
            ...listParameters.filter(([name]) => !["allowWatchBookmarks", "watch"].includes(name)),
          ]),
        }),
      );
    }
    this.#set(path, descriptor.ref.namespaced, operations);
  }

  #item(descriptor: KindDescriptor, path: string, verbs: Set<string>, object: Json): void {
    const operations: Operation[] = [];
    const write = parameters(writeParameters);
    if (verbs.has("get")) operations.push(this.#operation(descriptor, "get", "get", object, { parameters: [] }));
    if (verbs.has("update")) {
      operations.push(
        this.#operation(descriptor, "put", "put", object, { body: object, parameters: write, also: CREATED }),
      );
    }
    if (verbs.has("patch")) {
      const force = parameter("force", "boolean");
      const body = this.#meta("Patch");
      operations.push(
        this.#operation(descriptor, "patch", "patch", object, { body, parameters: [...write, force], also: CREATED }),
      );
    }
    if (verbs.has("delete")) {
      operations.push(
        this.#operation(
          descriptor,
          "delete",
          "delete",
          returnsDeleted(descriptor.ref) ? object : this.#meta("Status"),
          {
            body: this.#deleteOptions(descriptor),
            parameters: parameters(deleteParameters),
            also: ACCEPTED,
          },
        ),
      );
    }
    this.#set(path, descriptor.ref.namespaced, operations, true);
  }

  /** The paths with /watch/ in them: clients are told not to use them any more, but generated ones have them. */
  #watches(descriptor: KindDescriptor, scoped: string): void {
    const { ref } = descriptor;
    const prefix = apiVersionOf(ref) === "v1" ? "/api/v1" : `/apis/${apiVersionOf(ref)}`;
    const watching = (path: string) => `${prefix}/watch${path.slice(prefix.length)}`;
    const scope = ref.namespaced ? "Namespaced" : "";
    const rows: [string, string, string, boolean][] = [
      [scoped, "watchlist", `${scope}${ref.kind}List`, false],
      [`${scoped}/{name}`, "watch", `${scope}${ref.kind}`, true],
    ];
    if (ref.namespaced) rows.push([resourcePath(ref), "watchlist", `${ref.kind}ListForAllNamespaces`, false]);
    for (const [path, action, rest, named] of rows) {
      const operation: Operation = {
        method: "get",
        action,
        id: operationId("watch", ref, rest),
        tag: tagOf(ref.group, ref.version),
        gvk: gvkOf(ref),
        description: `Watches ${named ? "one" : "all"} of kind ${ref.kind}. Lists with the parameter watch do the same.`,
        result: this.#meta("WatchEvent"),
        parameters: [],
        mediaTypes: LIST_TYPES,
      };
      this.#set(watching(path), path === scoped || named ? ref.namespaced : false, [operation], named);
      this.#addShared(watching(path), listParameters);
    }
  }

  #subresource(
    descriptor: KindDescriptor,
    scoped: string,
    subresource: KindDescriptor["subresources"][number],
    object: Json,
  ): void {
    if (CONNECTING.has(subresource.name)) return this.#connecting(descriptor, scoped, subresource);
    if (subresource.name === "log") return this.#log(descriptor, scoped);
    const { ref } = descriptor;
    const group = subresource.group ?? ref.group;
    const version = subresource.version ?? ref.version;
    const struct = kindSchema(group, version, subresource.kind);
    const gvk = { group, version, kind: subresource.kind };
    const schema = struct === undefined ? object : this.#schemas.addKind(struct, [gvk]);
    const write = parameters(writeParameters);
    const methods: Readonly<Record<string, [Method, string]>> = {
      get: ["get", "get"],
      update: ["put", "put"],
      patch: ["patch", "patch"],
      create: ["post", "post"],
    };
    const operations = subresource.verbs.flatMap((verb): Operation[] => {
      const found = methods[verb];
      if (found === undefined) return [];
      const [method, action] = found;
      const body = verb === "get" ? undefined : verb === "patch" ? this.#meta("Patch") : schema;
      const operation = this.#operation(descriptor, method, action, schema, {
        ...(body === undefined ? {} : { body }),
        parameters: verb === "get" ? [] : verb === "patch" ? [...write, parameter("force", "boolean")] : write,
        suffix: capital(subresource.name),
        ...(verb === "get" ? {} : { also: verb === "create" ? { ...CREATED, ...ACCEPTED } : CREATED }),
      });
      return [{ ...operation, gvk }];
    });
    this.#set(`${scoped}/{name}/${subresource.name}`, ref.namespaced, operations, true);
  }

  /** The options of a connection are its query. */
  #connecting(
    descriptor: KindDescriptor,
    scoped: string,
    { name, kind, verbs }: KindDescriptor["subresources"][number],
  ): void {
    const { ref } = descriptor;
    const methods: Readonly<Record<string, Method>> = {
      get: "get",
      update: "put",
      patch: "patch",
      create: "post",
      delete: "delete",
    };
    const scope = ref.namespaced ? "Namespaced" : "";
    const gvk = { group: ref.group, version: ref.version, kind };
    const parameters = this.#optionParameters(kind);
    const used = verbs.flatMap((verb): Method[] => {
      const method = methods[verb];
      return method === undefined ? [] : [method];
    });
    // Discovery has no verbs for the two, and a proxy passes them on all the same.
    if (name === "proxy") used.push("head", "options");
    const operations = (suffix: string): Operation[] =>
      used.map((method) => ({
        method,
        action: "connect",
        id: operationId("connect", ref, `${capital(method)}${scope}${ref.kind}${capital(name)}${suffix}`),
        tag: tagOf(ref.group, ref.version),
        gvk,
        description: `Connects ${method.toUpperCase()} requests to ${name} of a ${ref.kind}.`,
        result: { type: "string" },
        parameters,
        mediaTypes: ["*/*"],
      }));
    const path = `${scoped}/{name}/${name}`;
    this.#set(path, ref.namespaced, operations(""), true);
    if (name !== "proxy") return;
    this.#set(`${path}/{path}`, ref.namespaced, operations("WithPath"), true);
    const item = this.paths[`${path}/{path}`] as Json;
    item.parameters = [...(item.parameters as Json[]), this.#parameter(pathParameter("path"))];
  }

  #log(descriptor: KindDescriptor, scoped: string): void {
    const parameters = this.#optionParameters("PodLogOptions");
    const suffix = "Log";
    const operation = this.#operation(descriptor, "get", "get", { type: "string" }, { parameters, suffix });
    const mediaTypes = ["text/plain", ...BODY_TYPES];
    this.#set(`${scoped}/{name}/log`, descriptor.ref.namespaced, [{ ...operation, mediaTypes }], true);
  }

  #optionParameters(kind: string): Json[] {
    const struct = kindSchema("", "v1", kind);
    const types: Readonly<Record<string, string>> = { boolean: "boolean", int32: "integer", int64: "integer" };
    return [...(struct?.fields.values() ?? [])]
      .filter(({ name }) => !["apiVersion", "kind", "metadata"].includes(name))
      .map((field) => parameter(field.name, types[field.type.kind] ?? "string"));
  }

  /** A document of discovery at `path`: `id` as a whole, `result` a struct of meta/v1. */
  addDiscovery(path: string, names: { readonly id: string; readonly tag: string; readonly result: string }): void {
    this.addDocument(path, { ...names, result: this.#meta(names.result), description: "Tells what is served here." });
  }

  /** What is read at `path` and is neither an object nor a list. */
  addDocument(path: string, document: Pick<Operation, "id" | "tag" | "result" | "description" | "mediaTypes">): void {
    this.paths[path] = { get: this.#render({ method: "get", action: "", parameters: [], ...document }) };
  }

  #operation(
    descriptor: KindDescriptor,
    method: Method,
    action: string,
    result: Json,
    rest: Pick<Operation, "parameters" | "body" | "also" | "mediaTypes"> & { readonly suffix?: string },
  ): Operation {
    const { ref } = descriptor;
    const scope = ref.namespaced && rest.suffix !== "ForAllNamespaces" ? "Namespaced" : "";
    const name = { post: "create", put: "replace", get: "read", deletecollection: "delete" }[action] ?? action;
    const many = action === "deletecollection" ? "Collection" : "";
    return {
      method,
      action,
      id: operationId(name, ref, `${many}${scope}${ref.kind}${rest.suffix ?? ""}`),
      tag: tagOf(ref.group, ref.version),
      gvk: gvkOf(ref),
      description: describe(action, ref.kind, rest.suffix),
      result,
      parameters: rest.parameters,
      ...(rest.body === undefined ? {} : { body: rest.body }),
      ...(rest.also === undefined ? {} : { also: rest.also }),
      ...(rest.mediaTypes === undefined ? {} : { mediaTypes: rest.mediaTypes }),
    };
  }

  #set(path: string, namespaced: boolean, operations: readonly Operation[], named = false): void {
    if (operations.length === 0) return;
    const item: Json = {};
    for (const operation of operations) item[operation.method] = this.#render(operation);
    item.parameters = [
      ...(named ? [pathParameter("name")] : []),
      ...(namespaced ? [pathParameter("namespace")] : []),
      parameter("pretty", "string"),
    ].map((one) => this.#parameter(one));
    this.paths[path] = item;
  }

  #addShared(path: string, names: readonly (readonly [string, string])[]): void {
    const item = this.paths[path] as Json;
    item.parameters = [...(item.parameters as Json[]), ...parameters(names).map((one) => this.#parameter(one))];
  }

  #render(operation: Operation): Json {
    const v3 = this.#schemas.version === 3;
    const { method, action, id, tag, gvk, body, result, also = {}, mediaTypes = BODY_TYPES } = operation;
    const types = method === "patch" ? PATCH_TYPES : BODY_TYPES;
    const answer = (description: string): Json =>
      v3
        ? { description, content: Object.fromEntries(mediaTypes.map((type) => [type, { schema: result }])) }
        : { description, schema: result };
    const params = operation.parameters.map((one) => this.#parameter(one));
    const optional = method === "delete";
    return {
      description: operation.description,
      operationId: id,
      tags: [tag],
      ...(v3 ? {} : { consumes: body === undefined ? ["*/*"] : types, produces: mediaTypes, schemes: ["https"] }),
      parameters: [
        ...params,
        ...(v3 || body === undefined ? [] : [{ name: "body", in: "body", required: !optional, schema: body }]),
      ],
      ...(v3 && body !== undefined
        ? {
            requestBody: {
              ...(optional ? {} : { required: true }),
              content: Object.fromEntries(types.map((t) => [t, { schema: body }])),
            },
          }
        : {}),
      responses: {
        "200": answer("OK"),
        ...Object.fromEntries(Object.entries(also).map(([code, meaning]) => [code, answer(meaning as string)])),
        "401": { description: "Unauthorized" },
      },
      ...(gvk === undefined ? {} : { "x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk }),
    };
  }

  #parameter(one: Json): Json {
    if (this.#schemas.version === 3) return one;
    const { schema, ...rest } = one as Json & { schema: Json };
    return { ...rest, ...schema };
  }

  /** What /version answers: a struct of no group, so without a field table. */
  versionInfo(): Json {
    const properties = Object.keys(SERVER_VERSION).map((name) => [name, { type: "string" }]);
    return this.#named("io.k8s.apimachinery.pkg.version.Info", {
      type: "object",
      required: [
        "buildDate",
        "compiler",
        "gitCommit",
        "gitTreeState",
        "gitVersion",
        "goVersion",
        "major",
        "minor",
        "platform",
      ],
      properties: sorted(Object.fromEntries(properties)),
    });
  }

  #named(name: string, schema: Json): Json {
    this.#schemas.schemas.set(name, schema);
    return { $ref: `${this.#schemas.version === 3 ? "#/components/schemas/" : "#/definitions/"}${name}` };
  }

  #meta(name: string): Json {
    if (name === "Patch") return this.#named("io.k8s.apimachinery.pkg.apis.meta.v1.Patch", { type: "object" });
    return this.#schemas.refTo(structSchema("meta/v1", name));
  }

  #deleteOptions(descriptor: KindDescriptor): Json {
    const struct: StructSchema = structSchema("meta/v1", "DeleteOptions");
    const { group, version } = descriptor.ref;
    return this.#schemas.addKind(struct, [
      { group: "", version: "v1", kind: "DeleteOptions" },
      ...(apiVersionOf(descriptor.ref) === "v1" ? [] : [{ group, version, kind: "DeleteOptions" }]),
    ]);
  }
}

/** "list" -> "Lists objects of kind Pod, or watches them." */
function describe(action: string, kind: string, suffix: string | undefined): string {
  const part = suffix === undefined || suffix === "ForAllNamespaces" ? "" : ` (${suffix.toLowerCase()})`;
  const everywhere = suffix === "ForAllNamespaces" ? " of all namespaces" : "";
  switch (action) {
    case "list":
      return `Lists objects of kind ${kind}${everywhere}, or watches them.`;
    case "deletecollection":
      return `Deletes all objects of kind ${kind} that the selectors leave.`;
    default: {
      const verb = { get: "Reads", post: "Creates", put: "Replaces", patch: "Changes parts of", delete: "Deletes" };
      return `${verb[action as keyof typeof verb]} an object of kind ${kind}${part}.`;
    }
  }
}

function gvkOf(ref: KindDescriptor["ref"]): Json {
  return { group: ref.group, version: ref.version, kind: ref.kind };
}

function parameter(name: string, type: string): Json {
  return { name, in: "query", schema: { type, uniqueItems: true } };
}

function parameters(list: readonly (readonly [string, string])[]): Json[] {
  return list.map(([name, type]) => parameter(name, type));
}

function pathParameter(name: string): Json {
  return { name, in: "path", required: true, schema: { type: "string", uniqueItems: true } };
}
