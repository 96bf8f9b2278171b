/** For tests of plugins: attributes of a request, and an environment whose lookups answer from a list of objects. */
import { isDeepStrictEqual } from "node:util";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { ObjectKey, ResourceRef } from "@knarr/apimachinery/resource.ts";
import { StatusError } from "@knarr/apimachinery/status-error.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import type { Authorizer } from "../authz/types.ts";
import type { AdmissionAttributes, AdmissionEnvironment, AdmissionPlugin } from "./plugin.ts";

export interface FakeRequest extends Partial<Omit<AdmissionAttributes, "ref" | "warn" | "annotate">> {
  readonly ref: ResourceRef<unknown>;
}

export interface Admitted {
  readonly object: KubeObject | undefined;
  readonly warnings: readonly string[];
  readonly annotations: Readonly<Record<string, string>>;
  /** The message of the refusal. */
  readonly refusal: string | undefined;
  readonly code: number | undefined;
}

/** Runs both phases over a copy of the object. */
export async function admitWith(
  plugin: AdmissionPlugin,
  request: FakeRequest,
  existing: readonly (readonly [ResourceRef<unknown>, KubeObject])[] = [],
  authorizer?: Authorizer,
): Promise<Admitted> {
  const warnings: string[] = [];
  const annotations: Record<string, string> = {};
  const object = request.object === undefined ? undefined : structuredClone(request.object);
  const attributes: AdmissionAttributes = {
    operation: "CREATE",
    subresource: "",
    namespace: "ns",
    name: object?.metadata.name ?? "",
    user: { name: "ann", uid: "", groups: [], extra: {} },
    dryRun: false,
    ...request,
    ...(object === undefined ? {} : { object }),
    warn: (text) => warnings.push(text),
    annotate: (key, value) => {
      annotations[key] = value;
    },
  };
  const env = fakeEnvironment(existing, authorizer);
  let refused: StatusError | undefined;
  try {
    await plugin.admit?.(attributes, env);
    await plugin.validate?.(attributes, env);
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    refused = error;
  }
  return { object, warnings, annotations, refusal: refused?.status.message, code: refused?.code };
}

export function fakeEnvironment(
  existing: readonly (readonly [ResourceRef<unknown>, KubeObject])[],
  authorizer: Authorizer = { authorize: () => ({ verdict: "no-opinion", reason: "" }) },
): AdmissionEnvironment {
  const of = (ref: ResourceRef<unknown>) =>
    existing.filter(([other]) => isDeepStrictEqual(other, ref)).map(([, o]) => o);
  return {
    lookup: {
      async get<T>(ref: ResourceRef<T>, { namespace, name }: ObjectKey): Promise<T | undefined> {
        return of(ref).find((o) => o.metadata.name === name && (o.metadata.namespace ?? "") === namespace) as T;
      },
      async list<T>(ref: ResourceRef<T>, namespace = ""): Promise<readonly T[]> {
        return of(ref).filter((o) => namespace === "" || o.metadata.namespace === namespace) as T[];
      },
    },
    authorizer,
    clock: systemClock,
    notReadyTolerationSeconds: 300,
    unreachableTolerationSeconds: 300,
  };
}
