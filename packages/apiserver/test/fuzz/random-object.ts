/** Objects of any kind drawn from its field table: mostly of the right shape, with hostile leaves here and there. Pure. */
import { type FieldSchema, kindSchema, type StructSchema, type TypeSchema } from "@knarr/api/schema.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import { hostileNumber, hostileText, hostileValue } from "./hostile-values.ts";
import type { Random } from "./random.ts";

const MAX_DEPTH = 9;

const PLAUSIBLE: Readonly<Record<string, readonly unknown[]>> = {
  name: ["a", "web", "x-1"],
  image: ["busybox"],
  protocol: ["TCP", "UDP", "SCTP"],
  operator: ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Equal"],
  type: ["ClusterIP", "NodePort", "ExternalName", "Opaque", "RollingUpdate", "Recreate", "Allow", "Utilization"],
  effect: ["NoSchedule", "NoExecute"],
  restartPolicy: ["Always", "Never", "OnFailure"],
  kind: ["Pod", "Service", "ClusterRole", "Role", "User", "ServiceAccount", "Deployment"],
  apiGroup: ["", "apps", "rbac.authorization.k8s.io"],
  schedule: ["*/5 * * * *"],
  namespace: ["", "default"],
  resourceVersion: ["", "1", "99999999", "abc"],
};

/** An object of the kind; `intensity` is the chance that a value is not what the table says. */
export function randomObject(random: Random, ref: ResourceRef<unknown>, intensity: number): Record<string, unknown> {
  const schema = kindSchema(ref.group, ref.version, ref.kind);
  const object = schema === undefined ? {} : randomStruct(random, schema, intensity, 0);
  object.apiVersion = ref.group === "" ? ref.version : `${ref.group}/${ref.version}`;
  object.kind = ref.kind;
  const metadata = typeof object.metadata === "object" && object.metadata !== null ? object.metadata : {};
  object.metadata = { ...metadata, name: random.chance(0.9) ? `fuzz-${random.word()}` : hostileText(random) };
  if (random.chance(0.8)) {
    for (const key of ["namespace", "resourceVersion", "uid", "generateName", "finalizers", "deletionTimestamp"]) {
      delete (object.metadata as Record<string, unknown>)[key];
    }
  }
  return object;
}

function randomStruct(random: Random, schema: StructSchema, intensity: number, depth: number): Record<string, unknown> {
  const object: Record<string, unknown> = {};
  for (const field of schema.fields.values()) {
    const wanted = field.required ? 0.9 : depth < 3 ? 0.5 : 0.2;
    if (random.chance(wanted)) object[field.name] = randomField(random, field, intensity, depth);
  }
  if (random.chance(intensity / 4)) {
    const key = random.pick(["__proto__", "constructor", "toString", "unknownField", ""]);
    Object.defineProperty(object, key, { value: hostileValue(random), enumerable: true, configurable: true });
  }
  return object;
}

function randomField(random: Random, field: FieldSchema, intensity: number, depth: number): unknown {
  if (random.chance(intensity)) return hostileValue(random);
  const plausible = PLAUSIBLE[field.name];
  if (plausible !== undefined && field.type.kind === "string" && random.chance(0.7)) return random.pick(plausible);
  return randomTyped(random, field.type, intensity, depth + 1);
}

function randomTyped(random: Random, type: TypeSchema, intensity: number, depth: number): unknown {
  switch (type.kind) {
    case "struct":
      return depth > MAX_DEPTH ? {} : randomStruct(random, type.struct, intensity, depth);
    case "list":
      return depth > MAX_DEPTH
        ? []
        : Array.from({ length: random.int(3) }, () => randomTyped(random, type.items, intensity, depth));
    case "map": {
      const map: Record<string, unknown> = {};
      for (let i = random.int(3); i > 0; i--) {
        Object.defineProperty(map, random.chance(0.6) ? random.word() : hostileText(random), {
          value: randomTyped(random, type.values, intensity, depth + 1),
          enumerable: true,
          configurable: true,
        });
      }
      return map;
    }
    case "string":
      if (type.enumValues !== undefined && random.chance(0.9)) return random.pick(type.enumValues);
      return random.chance(0.4) ? random.word() : hostileText(random);
    case "boolean":
      return random.chance(0.5);
    case "int32":
    case "int64":
    case "double":
      return random.chance(0.7) ? random.int(100) : hostileNumber(random);
    case "quantity":
      return random.chance(0.6) ? random.pick(["1", "100m", "1Gi", "0", "-1"]) : hostileText(random);
    case "intOrString":
      return random.chance(0.5) ? random.int(100) : random.pick(["http", "50%", hostileText(random)]);
    case "time":
    case "microTime":
      return random.chance(0.6) ? "2026-01-02T03:04:05Z" : hostileText(random);
    case "duration":
      return random.chance(0.6) ? "5s" : hostileText(random);
    case "bytes":
      return random.chance(0.6) ? "AAAA" : hostileText(random);
    case "raw":
    case "fieldsV1":
    case "any":
      return hostileValue(random);
    default:
      throw new Error(`unknown type ${type satisfies never}`);
  }
}
