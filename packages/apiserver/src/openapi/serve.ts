/**
 * Answers /openapi/v2 and /openapi/v3. Documents are made when first asked for and kept compressed nowhere: only their
 * text stays, so that they cost nothing until then.
 */
import { createHash } from "node:crypto";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { ServedGroup, ServedVersion } from "../discovery/groups.ts";
import { etagOf, sendWithEtag } from "../discovery/serve.ts";
import { JSON_TYPE, parseAccept } from "../http/media-type.ts";
import type { RequestContext } from "../http/request-context.ts";
import { sendBytes, writeHead } from "../http/respond.ts";
import { SERVER_VERSION } from "../server-version.ts";
import { operationId, tagOf } from "./operation-names.ts";
import { PathBuilder } from "./paths.ts";
import { type Json, SchemaSet, sorted } from "./schemas.ts";
import { encodeDocument } from "./v2-protobuf.ts";

/** As served and as older clients ask for it. */
const PROTOBUF_TYPES = [
  "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
  "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
];
/** One more whenever the documents of the same kinds look otherwise: clients keep what they know for a year. */
const DOCUMENT_FORM = 2;
const YEAR_SECONDS = 31_536_000;

export class OpenApi {
  readonly #versions: ReadonlyMap<string, ServedVersion>;
  readonly #groups: readonly ServedGroup[];
  readonly #documents = new Map<string, { body: Buffer; etag: string }>();

  constructor(groups: readonly ServedGroup[]) {
    this.#groups = groups;
    this.#versions = new Map(groups.flatMap(({ versions }) => versions.map((served) => [pathOf(served), served])));
  }

  /** The documents of /openapi/v3. */
  get paths(): string[] {
    return [...this.#versions.keys()].map((path) => `/openapi/v3/${path}`);
  }

  /** False when there is no such document. Throws 406. */
  async serve(context: RequestContext, parts: readonly string[]): Promise<boolean> {
    const [, version, ...rest] = parts;
    if (version === "v2" && rest.length === 0) await this.#serveV2(context);
    else if (version === "v3" && rest.length === 0) await this.#serveIndex(context);
    else {
      const served = version === "v3" ? this.#versions.get(rest.join("/")) : undefined;
      if (served === undefined) return false;
      await this.#serveGroupVersion(context, served);
    }
    return true;
  }

  async #serveGroupVersion(context: RequestContext, served: ServedVersion): Promise<void> {
    requireJson(context);
    const hash = context.query.get("hash");
    const current = this.#hashOf(served);
    if (hash !== null && hash !== current) {
      // An old link: lead to the current one, so that caches don't keep the wrong document.
      writeHead(context, 301, { location: `${context.path}?hash=${current}`, "content-length": 0 });
      context.response.end();
      return;
    }
    const { body, etag } = this.#document(pathOf(served), () => documentV3(served));
    const caching = hash === null ? {} : { expires: new Date(Date.now() + YEAR_SECONDS * 1000).toUTCString() };
    await sendWithEtag(context, body, etag, JSON_TYPE, { vary: "Accept", ...caching });
  }

  async #serveIndex(context: RequestContext): Promise<void> {
    const paths = Object.fromEntries(
      [...this.#versions.values()].map((served) => [
        pathOf(served),
        { serverRelativeURL: `/openapi/v3/${pathOf(served)}?hash=${this.#hashOf(served)}` },
      ]),
    );
    await sendBytes(context, 200, JSON.stringify({ paths }));
  }

  async #serveV2(context: RequestContext): Promise<void> {
    const wanted = parseAccept(context.header("accept"))[0]?.type ?? "";
    if (PROTOBUF_TYPES.includes(wanted)) {
      const { body, etag } = this.#document("v2.pb", () => encodeDocument(documentV2(this.#groups)));
      return sendWithEtag(context, body, etag, PROTOBUF_TYPES[0] ?? "", { vary: "Accept" });
    }
    requireJson(context);
    const { body, etag } = this.#document("v2", () => documentV2(this.#groups));
    await sendWithEtag(context, body, etag, JSON_TYPE, { vary: "Accept" });
  }

  /** Changes whenever what is served may have changed: documents follow from the release, the kinds and their form. */
  #hashOf(served: ServedVersion): string {
    const kinds = served.descriptors.map(({ ref, verbs, subresources }) => [
      ref.resource,
      ref.kind,
      verbs,
      subresources,
    ]);
    return createHash("sha256")
      .update(JSON.stringify([SERVER_VERSION.gitVersion, DOCUMENT_FORM, kinds]))
      .digest("hex")
      .toUpperCase();
  }

  #document(name: string, make: () => Json | Buffer): { body: Buffer; etag: string } {
    let document = this.#documents.get(name);
    if (document === undefined) {
      const made = make();
      const body = Buffer.isBuffer(made) ? made : Buffer.from(JSON.stringify(made));
      document = { body, etag: etagOf(body) };
      this.#documents.set(name, document);
    }
    return document;
  }
}

/** "api/v1", "apis/apps/v1" */
function pathOf(served: ServedVersion): string {
  return served.group === "" ? `api/${served.version}` : `apis/${served.group}/${served.version}`;
}

/** Clients that only read protobuf get 406 and fall back to what they know. */
function requireJson(context: RequestContext): void {
  const ranges = parseAccept(context.header("accept"));
  if (ranges.length === 0) return;
  if (!ranges.some(({ type }) => type === JSON_TYPE || type === "*/*" || type === "application/*")) {
    throw statusErrors.notAcceptable([JSON_TYPE]);
  }
}

const info = { title: "Kubernetes", version: SERVER_VERSION.gitVersion };

function documentV3(served: ServedVersion): Json {
  const schemas = new SchemaSet(3);
  const builder = new PathBuilder(schemas);
  for (const descriptor of served.descriptors) builder.add(descriptor);
  addResourceList(builder, served);
  return {
    openapi: "3.0.0",
    info,
    paths: sorted(builder.paths),
    components: {
      schemas: sorted(Object.fromEntries(schemas.schemas)),
      securitySchemes: { BearerToken: { type: "apiKey", name: "authorization", in: "header" } },
    },
    security: [{ BearerToken: [] }],
  };
}

function addResourceList(builder: PathBuilder, served: ServedVersion): void {
  builder.addDiscovery(`/${pathOf(served)}/`, {
    id: operationId("get", served, "APIResources"),
    tag: tagOf(served.group, served.version),
    result: "APIResourceList",
  });
}

function documentV2(groups: readonly ServedGroup[]): Json {
  const schemas = new SchemaSet(2);
  const builder = new PathBuilder(schemas);
  for (const { group, versions } of groups) {
    const isCore = group === "";
    builder.addDiscovery(isCore ? "/api/" : `/apis/${group}/`, {
      id: isCore ? "getCoreAPIVersions" : operationId("get", { group }, "APIGroup"),
      tag: tagOf(group),
      result: isCore ? "APIVersions" : "APIGroup",
    });
    for (const served of versions) {
      for (const descriptor of served.descriptors) builder.add(descriptor);
      addResourceList(builder, served);
    }
  }
  builder.addDiscovery("/apis/", { id: "getAPIVersions", tag: "apis", result: "APIGroupList" });
  return {
    swagger: "2.0",
    info,
    paths: sorted(builder.paths),
    definitions: sorted(Object.fromEntries(schemas.schemas)),
    securityDefinitions: { BearerToken: { type: "apiKey", name: "authorization", in: "header" } },
    security: [{ BearerToken: [] }],
  };
}
