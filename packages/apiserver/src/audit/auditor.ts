/**
 * The audit trail of requests: asks the policy, makes the events of each stage, and hands them to the sinks. What a request sends and
 * is answered is kept only for levels that record it.
 * Source: k8s.io/apiserver/pkg/endpoints/filters/audit.go, pkg/audit/request.go
 */
import { kindSchema } from "@knarr/api/schema.ts";
import type { Status } from "@knarr/apimachinery/generated/meta-v1.ts";
import { JsonError, parseJson, stringifyJson } from "@knarr/apimachinery/json.ts";
import { microTime } from "@knarr/apimachinery/time.ts";
import { parseYaml, YamlError } from "@knarr/apimachinery/yaml.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { UserInfo } from "../authn/types.ts";
import type { RequestContext } from "../http/request-context.ts";
import { decodeMessage, openEnvelope } from "../protobuf/decode.ts";
import { WireError } from "../protobuf/wire.ts";
import { type AuditPolicy, evaluatePolicy, type Level, type Stage, type Verdict } from "./policy.ts";

export interface AuditSink {
  /** One event as JSON, without a line feed. Returns a promise when the caller should wait for it. */
  write(line: string): Promise<void> | void;
  /** Flushes and closes. */
  close(): Promise<void>;
}

export interface AuditorOptions {
  readonly policy: AuditPolicy;
  readonly sinks: readonly AuditSink[];
  readonly clock: Clock;
}

export class Auditor {
  readonly #options: AuditorOptions;

  constructor(options: AuditorOptions) {
    this.#options = options;
  }

  /** Begins the trail of a request, once it is known who asks. undefined: nothing is recorded. */
  begin(context: RequestContext): AuditTrail | undefined {
    const { info, user } = context;
    const verdict = evaluatePolicy(this.#options.policy, {
      user: user?.name ?? "",
      groups: user?.groups ?? [],
      verb: info.verb,
      isResourceRequest: info.isResourceRequest,
      group: info.group,
      resource: info.resource,
      subresource: info.subresource,
      namespace: info.namespace,
      name: info.name,
      path: info.path,
    });
    return verdict.level === "None" ? undefined : new AuditTrail(context, verdict, this.#options);
  }

  async close(): Promise<void> {
    await Promise.all(this.#options.sinks.map((sink) => sink.close()));
  }
}

interface Body {
  readonly bytes: Buffer;
  readonly contentType: string;
}

/** The events of one request. */
export class AuditTrail {
  readonly #context: RequestContext;
  readonly #verdict: Verdict;
  readonly #options: AuditorOptions;
  /** Who asked; who acts may be another (impersonation). */
  readonly #user: UserInfo | undefined;
  #request: Body | undefined;
  #response: Body | undefined;

  constructor(context: RequestContext, verdict: Verdict, options: AuditorOptions) {
    this.#context = context;
    this.#verdict = verdict;
    this.#options = options;
    this.#user = context.user;
  }

  get wantsResponse(): boolean {
    return this.#verdict.level === "RequestResponse";
  }

  /** What the client sent. */
  requestBody(bytes: Buffer, contentType: string): void {
    if (this.#verdict.level === "Metadata" || bytes.length === 0) return;
    this.#request = { bytes, contentType };
  }

  /** What it was answered. */
  responseBody(bytes: Buffer, contentType: string): void {
    // A refusal is always worth its words.
    this.#response = this.wantsResponse || this.#context.statusCode >= 400 ? { bytes, contentType } : undefined;
  }

  stage(stage: Stage): Promise<void> | void {
    if (this.#verdict.omitStages.includes(stage)) return;
    const line = stringifyJson(this.#event(stage));
    let waits: Promise<void>[] | undefined;
    for (const sink of this.#options.sinks) {
      const wait = sink.write(line);
      if (wait !== undefined) waits = [...(waits ?? []), wait];
    }
    return waits === undefined ? undefined : Promise.all(waits).then(() => {});
  }

  #event(stage: Stage): object {
    const context = this.#context;
    const { level } = this.#verdict;
    const query = context.query.toString();
    const impersonated = context.user !== undefined && context.user !== this.#user ? context.user : undefined;
    const annotations = Object.fromEntries(context.auditAnnotations);
    return {
      kind: "Event",
      apiVersion: "audit.k8s.io/v1",
      level,
      auditID: context.auditId,
      stage,
      requestURI: query === "" ? context.path : `${context.path}?${query}`,
      verb: context.info.verb,
      user: userOf(this.#user),
      ...(impersonated === undefined ? {} : { impersonatedUser: userOf(impersonated) }),
      sourceIPs: sourceIps(context),
      userAgent: context.header("user-agent"),
      ...(context.info.isResourceRequest ? { objectRef: objectRefOf(context) } : {}),
      ...(stage === "RequestReceived" ? {} : this.#outcome(stage)),
      requestReceivedTimestamp: microTime(context.receivedAtMs),
      stageTimestamp: microTime(this.#options.clock.now()),
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    };
  }

  #outcome(stage: Stage): object {
    const context = this.#context;
    const status = context.statusCode >= 400 ? this.#refusal() : undefined;
    const responseStatus = status ?? { metadata: {}, code: context.statusCode };
    const request = objectOf(this.#request, context, this.#verdict);
    const response =
      stage === "ResponseComplete" && this.wantsResponse ? objectOf(this.#response, context, this.#verdict) : undefined;
    return {
      responseStatus,
      ...(request === undefined ? {} : { requestObject: request }),
      ...(response === undefined ? {} : { responseObject: response }),
    };
  }

  /** The Status that the client was sent. */
  #refusal(): Status | undefined {
    const value = objectOf(this.#response, this.#context, { omitManagedFields: false }) as
      | (Status & { kind?: string })
      | undefined;
    if (value?.kind !== "Status") return undefined;
    const { kind: _kind, apiVersion: _version, ...status } = value;
    return status;
  }
}

function userOf(user: UserInfo | undefined): object {
  if (user === undefined) return {};
  return {
    username: user.name,
    ...(user.uid === "" ? {} : { uid: user.uid }),
    groups: user.groups,
    ...(Object.keys(user.extra).length === 0 ? {} : { extra: user.extra }),
  };
}

/** What proxies before us say, then who is really connected. Source: k8s.io/apimachinery/pkg/util/net SourceIPs */
function sourceIps(context: RequestContext): string[] {
  const forwarded = context
    .header("x-forwarded-for")
    .split(",")
    .map((ip) => ip.trim());
  const real = context.request.socket?.remoteAddress?.replace(/^::ffff:/, "") ?? "";
  return [...new Set([...forwarded, real])].filter((ip) => /^[0-9a-fA-F.:]+$/.test(ip));
}

function objectRefOf({ info }: RequestContext): object {
  return {
    resource: info.resource,
    ...(info.namespace === "" ? {} : { namespace: info.namespace }),
    ...(info.name === "" ? {} : { name: info.name }),
    ...(info.group === "" ? {} : { apiGroup: info.group }),
    apiVersion: info.version,
    ...(info.subresource === "" ? {} : { subresource: info.subresource }),
  };
}

/** The body as a JSON value; undefined when it is none. */
function objectOf(
  body: Body | undefined,
  context: RequestContext,
  { omitManagedFields }: Pick<Verdict, "omitManagedFields">,
): unknown {
  if (body === undefined) return undefined;
  try {
    const value = parsed(body, context);
    if (omitManagedFields) stripManagedFields(value);
    return value;
  } catch (error) {
    // What the client sent is no object: the answer says so.
    if (error instanceof JsonError || error instanceof YamlError || error instanceof WireError) return undefined;
    throw error;
  }
}

function parsed({ bytes, contentType }: Body, { info }: RequestContext): unknown {
  if (contentType.includes("protobuf")) {
    const { apiVersion, kind, raw } = openEnvelope(bytes);
    const [group, version] = apiVersion.includes("/") ? apiVersion.split("/") : ["", apiVersion];
    const schema = kindSchema(group ?? "", version ?? info.version, kind);
    return { apiVersion, kind, ...(schema === undefined ? {} : decodeMessage(raw, schema)) };
  }
  return contentType.includes("yaml") ? parseYaml(bytes.toString()).value : parseJson(bytes);
}

function stripManagedFields(value: unknown): void {
  const object = value as { metadata?: { managedFields?: unknown }; items?: unknown } | null;
  if (typeof object !== "object" || object === null) return;
  if (typeof object.metadata === "object" && object.metadata !== null) delete object.metadata.managedFields;
  if (Array.isArray(object.items)) for (const item of object.items) stripManagedFields(item);
}

export type { Level };
