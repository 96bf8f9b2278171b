/**
 * Accept negotiation: which representation an answer has. Pure.
 *
 * Examples: "application/json;as=Table;v=v1;g=meta.k8s.io, application/json" -> a Table;
 * "application/vnd.kubernetes.protobuf, application/json" -> JSON; "application/vnd.kubernetes.protobuf" alone -> 406.
 *
 * Source: k8s.io/apiserver/pkg/endpoints/handlers/negotiation
 */
import { statusErrors } from "@knarr/apimachinery/status-error.ts";

export interface MediaRange {
  readonly type: string;
  readonly params: Readonly<Record<string, string>>;
  readonly quality: number;
}

export type Transform = "none" | "Table" | "PartialObjectMetadata" | "PartialObjectMetadataList";

export interface Representation {
  readonly transform: Transform;
  readonly pretty: boolean;
  readonly contentType: string;
}

export const PLAIN: Representation = { transform: "none", pretty: false, contentType: "application/json" };
/** What Accept may name. YAML answers are served as upstream does. */
const JSON_TYPES = new Set(["application/json", "application/*", "*/*", "*"]);
const ACCEPTED = ["application/json", "application/yaml"];

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

/**
 * Chooses the representation for an object or list. `transforms` are those the resource can be shown as (virtual
 * resources have no table). Throws 406 when nothing that the client accepts can be served.
 */
export function negotiate(
  accept: string,
  transforms: readonly Transform[] = ["Table", "PartialObjectMetadata", "PartialObjectMetadataList"],
): Representation {
  if (accept === "" || accept === "application/json" || accept === "*/*") return PLAIN;
  let sawTransform = false;
  for (const range of parseAccept(accept)) {
    const yaml = range.type === "application/yaml";
    if (!yaml && !JSON_TYPES.has(range.type)) continue;
    const as = range.params.as;
    const contentType = yaml ? "application/yaml" : "application/json";
    if (as === undefined) return { transform: "none", pretty: range.params.pretty === "1", contentType };
    const group = range.params.g ?? "";
    const version = range.params.v ?? "";
    sawTransform = true;
    if (yaml || (group !== "meta.k8s.io" && group !== "") || version !== "v1") continue;
    if (transforms.includes(as as Transform)) {
      return { transform: as as Transform, pretty: false, contentType };
    }
  }
  throw statusErrors.notAcceptable(
    sawTransform ? [...transforms.map((t) => `application/json;as=${t};v=v1;g=meta.k8s.io`), ...ACCEPTED] : ACCEPTED,
  );
}
