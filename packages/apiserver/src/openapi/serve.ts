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
import { addGroup, addVersion, documentV2, documentV3, pathOf, SERVER_DOCUMENTS } from "./documents.ts";
import type { PathBuilder } from "./paths.ts";
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
const DOCUMENT_FORM = 4;
const YEAR_SECONDS = 31_536_000;

/** A document of v3: what changes with its content, and how it is made. */
interface Source {
  readonly about: unknown;
  readonly add: (builder: PathBuilder) => void;
}

export class OpenApi {
  readonly #sources: ReadonlyMap<string, Source>;
  readonly #groups: readonly ServedGroup[];
  readonly #documents = new Map<string, { body: Buffer; etag: string }>();

  constructor(groups: readonly ServedGroup[]) {
    this.#groups = groups;
    this.#sources = new Map([
      ...Object.entries(SERVER_DOCUMENTS).map(([path, add]): [string, Source] => [path, { about: path, add }]),
      ...groups.flatMap(({ group, versions }): [string, Source][] => [
        ...(group === "" ? [] : [groupSource(group)]),
        ...versions.map(versionSource),
      ]),
    ]);
  }

  /** The documents of /openapi/v3. */
  get paths(): string[] {
    return [...this.#sources.keys()].map((path) => `/openapi/v3/${path}`);
  }

  /** False when there is no such document. Throws 406. */
  async serve(context: RequestContext, parts: readonly string[]): Promise<boolean> {
    const [, version, ...rest] = parts;
    if (version === "v2" && rest.length === 0) await this.#serveV2(context);
    else if (version === "v3" && rest.length === 0) await this.#serveIndex(context);
    else {
      const path = rest.join("/");
      const source = version === "v3" ? this.#sources.get(path) : undefined;
      if (source === undefined) return false;
      await this.#serveV3(context, path, source);
    }
    return true;
  }

  async #serveV3(context: RequestContext, path: string, source: Source): Promise<void> {
    const form = chooseForm(context, "v3");
    const hash = context.query.get("hash");
    const current = hashOf(source);
    if (hash !== null && hash !== current) {
      // An old link: lead to the current one, so that caches don't keep the wrong document.
      writeHead(context, 301, { location: `${context.path}?hash=${current}`, "content-length": 0 });
      context.response.end();
      return;
    }
    const { body, etag } = this.#document(path, form, V3_MESSAGES, () => documentV3(source.add));
    const expires = new Date(Date.now() + YEAR_SECONDS * 1000).toUTCString();
    const caching = hash === null ? {} : { expires, "cache-control": "public, immutable" };
    await sendWithEtag(context, body, etag, form.contentType, { vary: "Accept", ...caching });
  }

  async #serveIndex(context: RequestContext): Promise<void> {
    const paths = Object.fromEntries(
      [...this.#sources].map(([path, source]) => [
        path,
        { serverRelativeURL: `/openapi/v3/${path}?hash=${hashOf(source)}` },
      ]),
    );
    await sendBytes(context, 200, JSON.stringify({ paths }));
  }

  async #serveV2(context: RequestContext): Promise<void> {
    const form = chooseForm(context, "v2");
    const { body, etag } = this.#document("v2", form, V2_MESSAGES, () => documentV2(this.#groups));
    await sendWithEtag(context, body, etag, form.contentType, { vary: "Accept" });
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

function groupSource(group: string): [string, Source] {
  return [`apis/${group}`, { about: group, add: (builder) => addGroup(builder, group) }];
}

function versionSource(served: ServedVersion): [string, Source] {
  const about = served.descriptors.map(({ ref, verbs, subresources }) => [ref.resource, ref.kind, verbs, subresources]);
  return [pathOf(served), { about, add: (builder) => addVersion(builder, served) }];
}

/** Changes whenever what is served may have changed: documents follow from the release, the kinds and their form. */
function hashOf({ about }: Source): string {
  return createHash("sha256")
    .update(JSON.stringify([SERVER_VERSION.gitVersion, DOCUMENT_FORM, about]))
    .digest("hex")
    .toUpperCase();
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
