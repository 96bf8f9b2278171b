/**
 * Arguments of the default plugins: what they may be, and their defaults.
 * Source: kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1, pkg/scheduler/apis/config/{v1/defaults,validation}.go
 */
import {
  anything,
  between,
  boolean,
  type Check,
  type FieldErrors,
  integer,
  isRecord,
  list,
  object,
  oneOf,
  string,
} from "./field-errors.ts";

const CPU_AND_MEMORY = [
  { name: "cpu", weight: 1 },
  { name: "memory", weight: 1 },
];
const resources = list(object({ name: string, weight: between(1, 100) }));
const shape = list(object({ utilization: between(0, 100), score: between(0, 10) }));

interface ArgsOf {
  readonly fields: Readonly<Record<string, Check>>;
  readonly defaults: Readonly<Record<string, unknown>>;
  /** Rules between fields, on arguments with defaults. */
  readonly check?: (args: Record<string, unknown>, path: string, errors: FieldErrors) => void;
}

const ARGS: Readonly<Record<string, ArgsOf>> = {
  DefaultPreemption: {
    fields: { minCandidateNodesPercentage: between(0, 100), minCandidateNodesAbsolute: integer },
    defaults: { minCandidateNodesPercentage: 10, minCandidateNodesAbsolute: 100 },
    check(args, path, errors) {
      const absolute = args.minCandidateNodesAbsolute as number;
      if (absolute < 0) errors.invalid(`${path}.minCandidateNodesAbsolute`, absolute, "not in valid range [0, inf)");
      if (absolute === 0 && args.minCandidateNodesPercentage === 0) {
        const why = "cannot both be zero";
        errors.invalid(`${path}.minCandidateNodesPercentage, minCandidateNodesAbsolute`, 0, why);
      }
    },
  },
  DynamicResources: { fields: { filterTimeout: string, bindingTimeout: string }, defaults: {} },
  InterPodAffinity: {
    fields: { hardPodAffinityWeight: between(0, 100), ignorePreferredTermsOfExistingPods: boolean },
    defaults: { hardPodAffinityWeight: 1, ignorePreferredTermsOfExistingPods: false },
  },
  NodeAffinity: { fields: { addedAffinity: anything }, defaults: {} },
  NodeResourcesBalancedAllocation: { fields: { resources }, defaults: { resources: CPU_AND_MEMORY } },
  NodeResourcesFit: {
    fields: {
      ignoredResources: list(string),
      ignoredResourceGroups: list(string),
      scoringStrategy: object({
        type: oneOf("LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"),
        resources,
        requestedToCapacityRatio: object({ shape }),
      }),
    },
    defaults: { scoringStrategy: { type: "LeastAllocated", resources: CPU_AND_MEMORY } },
    check: checkFit,
  },
  PodTopologySpread: {
    fields: {
      defaultConstraints: list(
        object({
          maxSkew: integer,
          topologyKey: string,
          whenUnsatisfiable: oneOf("DoNotSchedule", "ScheduleAnyway"),
          minDomains: integer,
          nodeAffinityPolicy: oneOf("Honor", "Ignore"),
          nodeTaintsPolicy: oneOf("Honor", "Ignore"),
          matchLabelKeys: list(string),
        }),
      ),
      defaultingType: oneOf("System", "List"),
    },
    defaults: { defaultingType: "System", defaultConstraints: [] },
    check: checkSpread,
  },
  VolumeBinding: {
    fields: { bindTimeoutSeconds: integer, shape },
    defaults: { bindTimeoutSeconds: 600 },
    check(args, path, errors) {
      const seconds = args.bindTimeoutSeconds as number;
      if (seconds < 0)
        errors.invalid(
          `${path}.bindTimeoutSeconds`,
          seconds,
          "invalid BindTimeoutSeconds, should not be a negative value",
        );
    },
  },
};

/** The arguments of `plugin` with defaults; what is wrong with them goes to `errors`. */
export function pluginArgs(plugin: string, given: unknown, path: string, errors: FieldErrors): Record<string, unknown> {
  const known = ARGS[plugin] ?? { fields: {}, defaults: {} };
  if (given === undefined || given === null) return { ...known.defaults };
  const before = errors.problems.length;
  const kind = oneOf(`${plugin}Args`);
  object({ ...known.fields, apiVersion: oneOf("kubescheduler.config.k8s.io/v1"), kind })(given, path, errors);
  if (!isRecord(given)) return { ...known.defaults };
  const args: Record<string, unknown> = { ...known.defaults, ...given };
  if (plugin === "NodeResourcesFit" && isRecord(given.scoringStrategy)) {
    const strategy = given.scoringStrategy;
    const weighted = Array.isArray(strategy.resources) ? strategy.resources : [];
    const named =
      weighted.length === 0 ? CPU_AND_MEMORY : weighted.map((r) => ({ weight: 1, ...(isRecord(r) ? r : {}) }));
    args.scoringStrategy = { ...strategy, resources: named };
  }
  if (errors.problems.length === before) known.check?.(args, path, errors);
  return args;
}

function checkFit(args: Record<string, unknown>, path: string, errors: FieldErrors): void {
  const strategy = args.scoringStrategy as { type?: string; requestedToCapacityRatio?: { shape?: Point[] } };
  const at = `${path}.scoringStrategy`;
  if (strategy.type === undefined) return errors.required(`${at}.type`);
  if (strategy.type !== "RequestedToCapacityRatio") return;
  const points = strategy.requestedToCapacityRatio?.shape ?? [];
  const shapeAt = `${at}.requestedToCapacityRatio.shape`;
  if (points.length === 0) errors.required(shapeAt, "at least one point must be specified");
  for (let i = 1; i < points.length; i++) {
    const { utilization = 0 } = points[i] ?? {};
    if (utilization <= (points[i - 1]?.utilization ?? 0)) {
      errors.invalid(
        `${shapeAt}[${i}].utilization`,
        utilization,
        "utilization values must be sorted in increasing order",
      );
    }
  }
}
interface Point {
  readonly utilization: number;
}

function checkSpread(args: Record<string, unknown>, path: string, errors: FieldErrors): void {
  const constraints = args.defaultConstraints as {
    maxSkew?: number;
    topologyKey?: string;
    whenUnsatisfiable?: string;
  }[];
  if (args.defaultingType === "System" && constraints.length > 0) {
    errors.invalid(`${path}.defaultingType`, "System", 'when .defaultConstraints are not empty, must be "List"');
  }
  for (const [i, { maxSkew, topologyKey, whenUnsatisfiable }] of constraints.entries()) {
    const at = `${path}.defaultConstraints[${i}]`;
    if ((maxSkew ?? 0) <= 0) errors.invalid(`${at}.maxSkew`, maxSkew ?? 0, "not in valid range (0, inf)");
    if ((topologyKey ?? "") === "") errors.required(`${at}.topologyKey`, "can not be empty");
    if (whenUnsatisfiable === undefined) errors.required(`${at}.whenUnsatisfiable`, "can not be empty");
  }
}
