/** Answers /api, /apis and what lies directly below; documents are made once and kept with their ETags. */
import { createHash } from "node:crypto";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { JSON_TYPE, parseAccept, representationFor } from "../http/media-type.ts";
import { representBytes } from "../http/represent.ts";
import type { RequestContext } from "../http/request-context.ts";
import { baseHeaders, sendBytes, writeHead } from "../http/respond.ts";
import { aggregated, apiGroup, apiGroupList, apiResourceList, apiVersions } from "./documents.ts";
import type { ServedGroup } from "./groups.ts";

interface Document {
  readonly body: Buffer;
  readonly etag: string;
}

const AGGREGATED_VERSIONS = ["v2", "v2beta1"];

export class Discovery {
  readonly #groups: readonly ServedGroup[];
  readonly #serverAddress: string;
  readonly #documents = new Map<string, Document>();

  constructor(groups: readonly ServedGroup[], serverAddress: string) {
    this.#groups = groups;
    this.#serverAddress = serverAddress;
  }

  /** Whether the path is discovery's: /api, /apis and at most two more parts. */
  static owns(parts: readonly string[]): boolean {
    return (parts[0] === "api" && parts.length <= 2) || (parts[0] === "apis" && parts.length <= 3);
  }

  /** False when there is no such document. Throws 405 and 406. */
  async serve(context: RequestContext, parts: readonly string[]): Promise<boolean> {
    const value = this.#legacy(parts);
    if (value === undefined) return false;
    if (context.method !== "GET") throw statusErrors.pathMethodNotAllowed();
    if (parts.length === 1) {
      const version = aggregatedVersion(context.header("accept"));
      if (version !== undefined) {
        await this.#serveAggregated(context, parts[0] === "api", version);
        return true;
      }
    }
    const representation = representationFor(context, { transforms: [] });
    const shown = representBytes(this.#document(parts.join("/"), () => value).body, representation);
    await sendBytes(context, 200, shown.body, { contentType: shown.contentType });
    return true;
  }

  #legacy(parts: readonly string[]): object | undefined {
    const [root, first, second] = parts;
    if (root === "api") {
      if (first === undefined) return apiVersions(this.#serverAddress);
      const core = this.#groups.find(({ group }) => group === "")?.versions.find(({ version }) => version === first);
      return core === undefined ? undefined : apiResourceList(core);
    }
    if (first === undefined) return apiGroupList(this.#groups);
    const group = first === "" ? undefined : this.#groups.find((one) => one.group === first);
    if (group === undefined) return undefined;
    if (second === undefined) return apiGroup(group, false);
    const served = group.versions.find(({ version }) => version === second);
    return served === undefined ? undefined : apiResourceList(served);
  }

  async #serveAggregated(context: RequestContext, core: boolean, version: string): Promise<void> {
    const groups = this.#groups.filter(({ group }) => (group === "") === core);
    const name = `aggregated/${core ? "api" : "apis"}/${version}`;
    const { body, etag } = this.#document(name, () => aggregated(groups, `apidiscovery.k8s.io/${version}`));
    // Clients read the body as the legacy form unless g, v and as come back.
    const contentType = `${JSON_TYPE};g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;
    await sendWithEtag(context, body, etag, contentType, { vary: "Accept" });
  }

  #document(name: string, make: () => object): Document {
    let document = this.#documents.get(name);
    if (document === undefined) {
      const body = Buffer.from(`${JSON.stringify(make())}\n`);
      document = { body, etag: etagOf(body) };
      this.#documents.set(name, document);
    }
    return document;
  }
}

export function etagOf(body: Buffer): string {
  return `"${createHash("sha512").update(body).digest("hex").toUpperCase()}"`;
}

/** 304 when the client has it already. */
export async function sendWithEtag(
  context: RequestContext,
  body: Buffer,
  etag: string,
  contentType: string,
  extra: Record<string, string> = {},
): Promise<void> {
  const known = context
    .header("if-none-match")
    .split(",")
    .map((one) => one.trim().replace(/^W\//, ""));
  if (known.includes(etag) || known.includes("*")) {
    const { "content-type": _type, ...headers } = baseHeaders(context, contentType);
    writeHead(context, 304, { ...headers, ...extra, etag });
    context.response.end();
    return;
  }
  await sendBytes(context, 200, body, { contentType, headers: { "cache-control": "public", ...extra, etag } });
}

function aggregatedVersion(accept: string): string | undefined {
  for (const { type, params } of parseAccept(accept)) {
    if (type !== JSON_TYPE && type !== "*/*") continue;
    if (params.as === undefined) return undefined;
    const version = params.v ?? "";
    if (
      params.as === "APIGroupDiscoveryList" &&
      params.g === "apidiscovery.k8s.io" &&
      AGGREGATED_VERSIONS.includes(version)
    ) {
      return version;
    }
  }
  return undefined;
}
