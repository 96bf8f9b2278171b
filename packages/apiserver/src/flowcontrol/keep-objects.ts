/**
 * Keeps the objects of flow control: makes the mandatory and suggested ones and brings them back to what they should be, and says in
 * each FlowSchema's status whether its level exists. Feeds every change to FlowControl.
 *
 * A suggested object belongs to its administrator once its annotation apf.kubernetes.io/autoupdate-spec is "false", or, without the
 * annotation, once its spec was changed. Source: pkg/registry/flowcontrol/{rest,ensurer}
 */
import { deepEqual } from "@knarr/api/deep-equal.ts";
import { flowcontrol } from "@knarr/api/generated/resources.ts";
import type { FlowSchema, PriorityLevelConfiguration } from "@knarr/api/generated/types/flowcontrol-v1.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import { isAlreadyExists, isConflict, isNotFound } from "@knarr/apimachinery/status-error.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import type { Client } from "@knarr/client/client.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { ObjectView } from "../storage/types.ts";
import { mandatoryLevels, mandatorySchemas, suggestedLevels, suggestedSchemas } from "./bootstrap-objects.ts";
import type { FlowControl } from "./flow-control.ts";

const AUTO_UPDATE = "apf.kubernetes.io/autoupdate-spec";
const PERIOD_MS = 60_000;
const RETRY_MS = 1_000;

type Configured = FlowSchema | PriorityLevelConfiguration;

export interface KeepFlowObjects {
  readonly control: FlowControl;
  readonly schemas: ObjectView<FlowSchema>;
  readonly levels: ObjectView<PriorityLevelConfiguration>;
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What holds until the objects are loaded, and with a store that has none. */
export function configureDefaults(control: FlowControl): void {
  control.configure([...mandatorySchemas, ...suggestedSchemas], [...mandatoryLevels, ...suggestedLevels]);
}

/** Runs until the signal aborts; calls `done` when the objects stand for the first time. */
export async function keepFlowObjects(parts: KeepFlowObjects, done: () => void, signal: AbortSignal): Promise<void> {
  const { schemas, levels, control, clock, log } = parts;
  let isDirty = true;
  const mark = { set: () => mustConfigure(), deleted: () => mustConfigure(), reset: () => mustConfigure() };
  const mustConfigure = () => {
    if (isDirty) return;
    isDirty = true;
    // Many changes in a row are one.
    clock.setTimeout(configure, 20);
  };
  const configure = () => {
    isDirty = false;
    if (!schemas.synced || !levels.synced || levels.list().length === 0) return;
    control.configure(withMandatory(schemas.list(), mandatorySchemas), withMandatory(levels.list(), mandatoryLevels));
  };
  const stops = [schemas.subscribe(mark), levels.subscribe(mark)];
  configure();
  try {
    while (!signal.aborted) {
      let pause = PERIOD_MS;
      try {
        await ensureAll(parts, signal);
        configure();
        done();
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ err: error }, "flow control's objects not written");
        pause = RETRY_MS;
      }
      await clock.sleep(pause, signal).catch((error: unknown) => {
        if (!signal.aborted) throw error;
      });
    }
  } finally {
    for (const stop of stops) stop();
  }
}

/** The mandatory ones hold even while somebody has deleted them. */
function withMandatory<T extends Configured>(found: readonly T[], mandatory: readonly T[]): readonly T[] {
  const names = new Set(found.map((object) => object.metadata.name));
  return [...found, ...mandatory.filter((object) => !names.has(object.metadata.name))];
}

async function ensureAll(parts: KeepFlowObjects, signal: AbortSignal): Promise<void> {
  const { client } = parts;
  for (const [wanted, isMandatory] of [
    [mandatoryLevels, true],
    [suggestedLevels, false],
  ] as const) {
    for (const object of wanted)
      await ensure(client, flowcontrol.prioritylevelconfigurations, object, isMandatory, signal);
  }
  for (const [wanted, isMandatory] of [
    [mandatorySchemas, true],
    [suggestedSchemas, false],
  ] as const) {
    for (const object of wanted) await ensure(client, flowcontrol.flowschemas, object, isMandatory, signal);
  }
  const { items: levels } = await client.list(flowcontrol.prioritylevelconfigurations, { signal });
  const names = new Set(levels.map((level) => level.metadata.name ?? ""));
  const { items: schemas } = await client.list(flowcontrol.flowschemas, { signal });
  for (const schema of schemas) await tellDangling(parts, schema, names, signal);
}

async function ensure<T extends Configured>(
  client: Client,
  ref: ResourceRef<T>,
  wanted: T,
  isMandatory: boolean,
  signal: AbortSignal,
): Promise<void> {
  const key = { namespace: "", name: wanted.metadata.name ?? "" };
  const annotations = { [AUTO_UPDATE]: "true" };
  let current: T;
  try {
    current = await client.get(ref, key, { signal });
  } catch (error) {
    if (!isNotFound(error)) throw error;
    try {
      await client.create(ref, { ...wanted, metadata: { ...wanted.metadata, annotations } }, { signal });
    } catch (conflict) {
      // Another server made it.
      if (!isAlreadyExists(conflict)) throw conflict;
    }
    return;
  }
  const told = current.metadata.annotations?.[AUTO_UPDATE];
  // Never touched since it was made, it is still ours.
  const isOurs = isMandatory || (told === undefined ? current.metadata.generation === 1 : told === "true");
  const annotation = isMandatory || isOurs ? "true" : "false";
  const isSame = !isOurs || deepEqual(current.spec, wanted.spec);
  if (isSame && told === annotation) return;
  if (told === "false" && !isMandatory) return;
  const metadata = { ...current.metadata, annotations: { ...current.metadata.annotations, [AUTO_UPDATE]: annotation } };
  try {
    await client.update(ref, { ...current, metadata, ...(isOurs ? { spec: wanted.spec } : {}) } as T, { signal });
  } catch (error) {
    // Somebody else was faster: the next turn looks again.
    if (!isConflict(error)) throw error;
  }
}

async function tellDangling(
  { client, clock }: KeepFlowObjects,
  schema: FlowSchema,
  levels: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<void> {
  const level = schema.spec?.priorityLevelConfiguration?.name ?? "";
  const exists = levels.has(level);
  const status = exists ? "False" : "True";
  const known = schema.status?.conditions?.find(({ type }) => type === "Dangling");
  const about = `This FlowSchema references the PriorityLevelConfiguration object named ${JSON.stringify(level)}`;
  const condition = {
    type: "Dangling",
    status,
    lastTransitionTime: known?.status === status ? known.lastTransitionTime : rfc3339Seconds(clock.now()),
    reason: exists ? "Found" : "NotFound",
    message: exists ? `${about} and it exists` : `${about} but there is no such object`,
  };
  if (known !== undefined && known.status === status && known.message === condition.message) return;
  try {
    await client.patch(
      flowcontrol.flowschemas,
      { namespace: "", name: schema.metadata.name ?? "" },
      {
        type: "apply",
        body: {
          apiVersion: schema.apiVersion,
          kind: schema.kind,
          metadata: { name: schema.metadata.name },
          status: { conditions: [condition] },
        },
      },
      { subresource: "status", fieldManager: "api-priority-and-fairness-config-consumer-v1", force: true, signal },
    );
  } catch (error) {
    // Deleted meanwhile.
    if (!isNotFound(error)) throw error;
  }
}
