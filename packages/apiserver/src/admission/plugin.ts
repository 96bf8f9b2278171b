/**
 * What an admission plugin is. Mutating phases change `attributes.object`; validating phases only refuse. Both may be
 * run again for one request (a write collided with another): plugins have no side effects on the first phase, except
 * through what they return to be undone.
 * Source: k8s.io/apiserver/pkg/admission
 */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { ObjectKey, ResourceRef } from "@knarr/apimachinery/resource.ts";
import { type StatusError, statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { UserInfo } from "../authn/types.ts";
import type { Authorizer } from "../authz/types.ts";

export type AdmissionOperation = "CREATE" | "UPDATE" | "DELETE" | "CONNECT";

export interface AdmissionAttributes {
  readonly operation: AdmissionOperation;
  readonly ref: ResourceRef<unknown>;
  /** "" for the object itself. */
  readonly subresource: string;
  readonly namespace: string;
  /** "" when the server is to generate it. */
  readonly name: string;
  /** The object as it will be stored, or the subresource's body (Binding, Eviction ...); absent for DELETE. Mutable. */
  readonly object?: KubeObject;
  /** The stored object; absent for CREATE. Never change it. */
  readonly oldObject?: KubeObject;
  readonly user: UserInfo;
  readonly dryRun: boolean;
  readonly warn: (text: string) => void;
  readonly annotate: (key: string, value: string) => void;
  readonly signal?: AbortSignal;
}

/** Reads parsed, frozen objects: from the cache first, and `live` ones from the store when it matters. */
export interface ObjectLookup {
  get<T>(ref: ResourceRef<T>, key: ObjectKey, options?: { readonly live?: boolean }): Promise<T | undefined>;
  list<T>(ref: ResourceRef<T>, namespace?: string): Promise<readonly T[]>;
}

export interface AdmissionEnvironment {
  readonly lookup: ObjectLookup;
  readonly authorizer: Authorizer;
  readonly clock: Clock;
  readonly notReadyTolerationSeconds: number;
  readonly unreachableTolerationSeconds: number;
}

export interface AdmissionPlugin {
  /** As in --enable-admission-plugins. */
  readonly name: string;
  readonly admit?: (attributes: AdmissionAttributes, env: AdmissionEnvironment) => Promise<void> | void;
  readonly validate?: (attributes: AdmissionAttributes, env: AdmissionEnvironment) => Promise<void> | void;
}

/** The 403 of an admission plugin, naming the object as upstream does. */
export function admissionForbidden(attributes: AdmissionAttributes, why: string): StatusError {
  const { ref, object } = attributes;
  const name = attributes.name || object?.metadata.name || object?.metadata.generateName || "Unknown";
  return statusErrors.forbidden({ group: ref.group, resource: ref.resource }, name, why);
}

/** Whether the request is about this resource (and subresource). */
export function isFor(attributes: AdmissionAttributes, ref: ResourceRef<unknown>, subresource = ""): boolean {
  return (
    attributes.ref.resource === ref.resource &&
    attributes.ref.group === ref.group &&
    attributes.subresource === subresource
  );
}
