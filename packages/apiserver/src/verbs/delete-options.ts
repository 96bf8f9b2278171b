/**
 * DeleteOptions from the body or the query, checked, with deprecated spellings folded in. Pure.
 * Source: k8s.io/apiserver/pkg/endpoints/handlers/delete.go
 */

import { structSchema } from "@knarr/api/schema.ts";
import { parseJson } from "@knarr/apimachinery/json.ts";
import { type FieldError, statusErrors } from "@knarr/apimachinery/status-error.ts";
import { PROTOBUF_TYPE } from "../http/media-type.ts";
import { parseInt64 } from "../http/parse-int64.ts";
import { isTrue } from "../http/request-info.ts";
import { decodeMessage, openEnvelope } from "../protobuf/decode.ts";
import { WireError } from "../protobuf/wire.ts";
import { checkDryRun } from "./write-options.ts";

export type Propagation = "Orphan" | "Background" | "Foreground";

export interface DeleteRequestOptions {
  readonly dryRun: boolean;
  readonly gracePeriodSeconds: number | undefined;
  /** Undefined: the kind's default. */
  readonly propagation: Propagation | undefined;
  /** The request said orphanDependents=false, which changes the answer to 202 while the object waits. */
  readonly orphanDependentsFalse: boolean;
  readonly uid: string | undefined;
  readonly resourceVersion: string | undefined;
}

interface WireOptions {
  kind?: string;
  apiVersion?: string;
  gracePeriodSeconds?: number | null;
  preconditions?: { uid?: string | null; resourceVersion?: string | null } | null;
  orphanDependents?: boolean | null;
  propagationPolicy?: string | null;
  dryRun?: string[] | null;
}

const POLICIES = ["Foreground", "Background", "Orphan"];

/** Throws 400 for a body that is no DeleteOptions and 422 for values that are not allowed. */
export function parseDeleteOptions(
  query: URLSearchParams,
  body: Buffer | string,
  contentType = "application/json",
): DeleteRequestOptions {
  return checked(body.length > 0 ? fromBody(body, contentType) : fromQuery(query));
}

function fromBody(body: Buffer | string, contentType: string): WireOptions {
  if (contentType.startsWith(PROTOBUF_TYPE)) return fromProtobuf(Buffer.from(body));
  let value: unknown;
  try {
    value = parseJson(body);
  } catch (error) {
    throw statusErrors.badRequest(`unable to decode DeleteOptions: ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw statusErrors.badRequest("decoded object cannot be converted to DeleteOptions");
  }
  const options = value as WireOptions;
  if (options.kind !== undefined && options.kind !== "DeleteOptions") {
    throw statusErrors.badRequest("decoded object cannot be converted to DeleteOptions");
  }
  return options;
}

function fromProtobuf(body: Buffer): WireOptions {
  try {
    return decodeMessage(openEnvelope(body).raw, structSchema("meta/v1", "DeleteOptions"));
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw statusErrors.badRequest(`unable to decode DeleteOptions: ${error.message}`);
  }
}

function fromQuery(query: URLSearchParams): WireOptions {
  const grace = query.get("gracePeriodSeconds");
  const orphan = query.get("orphanDependents");
  return {
    ...(grace === null ? {} : { gracePeriodSeconds: parseInt64(grace) }),
    ...(orphan === null ? {} : { orphanDependents: isTrue(orphan) }),
    propagationPolicy: query.get("propagationPolicy"),
    dryRun: query.getAll("dryRun"),
  };
}

function checked(options: WireOptions): DeleteRequestOptions {
  const errors: FieldError[] = [];
  const orphan = options.orphanDependents ?? undefined;
  const policy = options.propagationPolicy || undefined;
  if (orphan !== undefined && policy !== undefined) {
    errors.push({
      type: "FieldValueInvalid",
      field: "propagationPolicy",
      message: `Invalid value: ${JSON.stringify(policy)}: orphanDependents and deletionPropagation cannot be both set`,
    });
  }
  if (policy !== undefined && !POLICIES.includes(policy)) {
    errors.push({
      type: "FieldValueNotSupported",
      field: "propagationPolicy",
      message: `Unsupported value: ${JSON.stringify(policy)}: supported values: "Foreground", "Background", "Orphan", "nil"`,
    });
  }
  const dryRun = (options.dryRun ?? []).filter((value) => value !== "");
  checkDryRun(dryRun, errors);
  if (errors.length > 0) throw statusErrors.invalid("meta.k8s.io", "DeleteOptions", "", errors);
  const grace = options.gracePeriodSeconds ?? undefined;
  if (grace !== undefined && typeof grace !== "number") {
    throw statusErrors.badRequest("gracePeriodSeconds must be a number");
  }
  return {
    dryRun: dryRun.length > 0,
    // Source: rest.BeforeDelete: a negative grace counts as one second.
    gracePeriodSeconds: grace === undefined ? undefined : grace < 0 ? 1 : grace,
    propagation:
      (policy as Propagation | undefined) ?? (orphan === undefined ? undefined : orphan ? "Orphan" : "Background"),
    orphanDependentsFalse: orphan === false,
    uid: options.preconditions?.uid ?? undefined,
    resourceVersion: options.preconditions?.resourceVersion ?? undefined,
  };
}
