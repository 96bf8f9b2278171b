/**
 * Accept negotiation: which representation an answer has. Pure.
 *
 * Examples: "application/json;as=Table;v=v1;g=meta.k8s.io, application/json" -> a Table;
 * "application/vnd.kubernetes.protobuf, application/json" -> protobuf; "application/xml" alone -> 406.
 *
 * Source: k8s.io/apiserver/pkg/endpoints/handlers/negotiation; RequestScope.AllowsMediaTypeTransform
 */
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { RequestContext } from "./request-context.ts";

export interface MediaRange {
  readonly type: string;
  readonly params: Readonly<Record<string, string>>;
  readonly quality: number;
}

export type Transform = "none" | "Table" | "PartialObjectMetadata" | "PartialObjectMetadataList";
export type ContentType = "application/json" | "application/yaml" | "application/vnd.kubernetes.protobuf";

export const JSON_TYPE = "application/json";
export const YAML_TYPE = "application/yaml";
export const PROTOBUF_TYPE = "application/vnd.kubernetes.protobuf";
/** In order of the server's preference, for a range that allows several. */
export const OBJECT_TYPES: readonly ContentType[] = [JSON_TYPE, YAML_TYPE, PROTOBUF_TYPE];
/** YAML documents have no stream form. */
export const STREAM_TYPES: readonly ContentType[] = [JSON_TYPE, PROTOBUF_TYPE];
export const ALL_TRANSFORMS: readonly Transform[] = ["Table", "PartialObjectMetadata", "PartialObjectMetadataList"];

export interface Representation {
  readonly transform: Transform;
  /** Of meta.k8s.io, when there is a transform. */
  readonly metaVersion: "v1" | "v1beta1";
  readonly pretty: boolean;
  readonly contentType: ContentType;
}

export const PLAIN: Representation = {
  transform: "none",
  metaVersion: "v1",
  pretty: false,
  contentType: JSON_TYPE,
};

/** Ranges in order of preference (quality, then position). */
export function parseAccept(text: string): MediaRange[] {
  const ranges = text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map(parseMediaType);
  return ranges.filter((range) => range.quality > 0).sort((a, b) => b.quality - a.quality);
}

export function parseMediaType(text: string): MediaRange {
  const [type = "", ...rest] = text.split(";").map((piece) => piece.trim());
  const params: Record<string, string> = {};
  for (const piece of rest) {
    const at = piece.indexOf("=");
    if (at > 0) params[piece.slice(0, at).toLowerCase()] = piece.slice(at + 1).replace(/^"|"$/g, "");
  }
  const quality = params.q === undefined ? 1 : Number(params.q);
  return { type: type.toLowerCase(), params, quality: Number.isNaN(quality) ? 1 : quality };
}

export interface NegotiateOptions {
  /** Those that the resource can be shown as; virtual resources have no table. Default: all. */
  readonly transforms?: readonly Transform[];
  /** A watch: no YAML. */
  readonly stream?: boolean;
}

/** Chooses the representation for an object or list. Throws 406 when nothing that the client accepts can be served. */
export function negotiate(accept: string, options: NegotiateOptions = {}): Representation {
  if (accept === "" || accept === JSON_TYPE || accept === "*/*") return PLAIN;
  const { transforms = ALL_TRANSFORMS, stream = false } = options;
  const types = stream ? STREAM_TYPES : OBJECT_TYPES;
  for (const range of parseAccept(accept)) {
    const contentType = types.find((type) => allows(range.type, type));
    if (contentType === undefined) continue;
    const { as, g = "", v = "", pretty } = range.params;
    if (as === undefined) return { ...PLAIN, pretty: pretty === "1", contentType };
    if (g !== "meta.k8s.io" && g !== "") continue;
    if (v !== "v1" && v !== "v1beta1") continue;
    if (!transforms.includes(as as Transform) || (as === "Table" && contentType === PROTOBUF_TYPE)) continue;
    return { transform: as as Transform, metaVersion: v, pretty: pretty === "1", contentType };
  }
  throw statusErrors.notAcceptable(stream ? types.map((type) => `${type};stream=watch`) : types);
}

/** As `negotiate`, for what must be answered whatever the client accepts: errors are JSON then. */
export function negotiateLeniently(accept: string): Representation {
  for (const range of parseAccept(accept)) {
    const contentType = OBJECT_TYPES.find((type) => allows(range.type, type));
    if (contentType !== undefined) return { ...PLAIN, contentType };
  }
  return PLAIN;
}

/** Whether a media range, without its parameters, covers a type of ours. */
export function allows(range: string, type: string): boolean {
  return range === type || range === "*/*" || range === "*" || range === "application/*";
}

/** What the client of this request wants to see, people's tools indented. Source: negotiation.isPrettyPrint */
export function representationFor(context: RequestContext, options: NegotiateOptions = {}): Representation {
  const representation = negotiate(context.header("accept"), options);
  return !representation.pretty && wantsPretty(context) ? { ...representation, pretty: true } : representation;
}

export function wantsPretty(context: RequestContext): boolean {
  const asked = context.query.get("pretty");
  if (asked !== null && asked !== "") return /^(1|t|T|TRUE|true|True)$/.test(asked);
  return /^(curl|Wget|Mozilla\/5\.0)/.test(context.header("user-agent"));
}
