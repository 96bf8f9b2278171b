/**
 * Answers /openapi/v2 and /openapi/v3, as JSON or protobuf. Documents are made when first asked for, each form by itself,
 * so that they cost nothing until then; only their bytes stay, not compressed.
 */
import { createHash } from "node:crypto";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { ServedGroup, ServedVersion } from "../discovery/groups.ts";
import { etagOf, sendWithEtag } from "../discovery/serve.ts";
import { allows, JSON_TYPE, parseAccept } from "../http/media-type.ts";
import type { RequestContext } from "../http/request-context.ts";
import { sendBytes, writeHead } from "../http/respond.ts";
import { SERVER_VERSION } from "../server-version.ts";
import { encodeDocument, type Messages } from "./document-encoder.ts";
import { documentV2, documentV3, pathOf } from "./documents.ts";
import type { Json } from "./schemas.ts";
import { V2_MESSAGES } from "./v2-messages.ts";
import { V3_MESSAGES } from "./v3-messages.ts";

/** A type that documents are served as, and the names that clients ask for it by. */
interface Form {
  readonly contentType: string;
  readonly names: readonly string[];
}

const JSON_FORM: Form = { contentType: JSON_TYPE, names: [JSON_TYPE] };
const PROTOBUF_FORMS = { v2: protobufForm("v2"), v3: protobufForm("v3") };
/** One more whenever the answers for the same kinds look otherwise: clients keep what they know for a year. */
const DOCUMENT_FORM = 3;
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
    const form = chooseForm(context, "v3");
    const hash = context.query.get("hash");
    const current = this.#hashOf(served);
    if (hash !== null && hash !== current) {
      // An old link: lead to the current one, so that caches don't keep the wrong document.
      writeHead(context, 301, { location: `${context.path}?hash=${current}`, "content-length": 0 });
      context.response.end();
      return;
    }
    const { body, etag } = this.#document(pathOf(served), form, V3_MESSAGES, () => documentV3(served));
    const expires = new Date(Date.now() + YEAR_SECONDS * 1000).toUTCString();
    const caching = hash === null ? {} : { expires, "cache-control": "public, immutable" };
    await sendWithEtag(context, body, etag, form.contentType, { vary: "Accept", ...caching });
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
    const form = chooseForm(context, "v2");
    const { body, etag } = this.#document("v2", form, V2_MESSAGES, () => documentV2(this.#groups));
    await sendWithEtag(context, body, etag, form.contentType, { vary: "Accept" });
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

  /** Each form has its own ETag: they are other bytes. */
  #document(path: string, form: Form, messages: Messages, make: () => Json): { body: Buffer; etag: string } {
    const name = `${path} ${form.contentType}`;
    let document = this.#documents.get(name);
    if (document === undefined) {
      const value = make();
      const body = form === JSON_FORM ? Buffer.from(JSON.stringify(value)) : encodeDocument(messages, value);
      document = { body, etag: etagOf(body) };
      this.#documents.set(name, document);
    }
    return document;
  }
}

/** The form that the client likes best, JSON where it doesn't care. Throws 406. */
function chooseForm(context: RequestContext, version: "v2" | "v3"): Form {
  const forms = [JSON_FORM, PROTOBUF_FORMS[version]];
  const ranges = parseAccept(context.header("accept"));
  if (ranges.length === 0) return JSON_FORM;
  for (const { type } of ranges) {
    const form = forms.find(({ names }) => names.some((name) => allows(type, name)));
    if (form !== undefined) return form;
  }
  throw statusErrors.notAcceptable(forms.map(({ contentType }) => contentType));
}

/** The first name is no media type by the book, but what clients ask for; the answer has the other. */
function protobufForm(version: "v2" | "v3"): Form {
  const prefix = `application/com.github.proto-openapi.spec.${version}`;
  const contentType = `${prefix}.v1.0+protobuf`;
  return { contentType, names: [`${prefix}@v1.0+protobuf`, contentType] };
}
