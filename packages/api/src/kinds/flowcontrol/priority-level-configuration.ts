import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { defineKind, statusOf } from "../../define-kind.ts";
import { flowcontrol } from "../../generated/resources.ts";
import type {
  LimitedPriorityLevelConfiguration,
  PriorityLevelConfiguration,
} from "../../generated/types/flowcontrol-v1.ts";
import { validateOneOf } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { subdomainName } from "../../validation/names.ts";

const MAX_QUEUES = 10_000_000;

/** Mutates. Source: pkg/apis/flowcontrol/v1/defaults.go */
function defaultLimited(limited: LimitedPriorityLevelConfiguration): void {
  limited.nominalConcurrencyShares ??= 30;
  limited.lendablePercent ??= 0;
  const queuing = limited.limitResponse?.queuing;
  if (queuing === undefined) return;
  queuing.handSize ||= 8;
  queuing.queues ||= 64;
  queuing.queueLengthLimit ||= 50;
}

function validateLimited(errors: FieldErrors, limited: LimitedPriorityLevelConfiguration): void {
  const path = "spec.limited";
  const shares = limited.nominalConcurrencyShares ?? 0;
  if (shares < 0) errors.invalid(`${path}.nominalConcurrencyShares`, shares, "must be a non-negative integer");
  const lendable = limited.lendablePercent ?? 0;
  if (lendable < 0 || lendable > 100) {
    errors.invalid(`${path}.lendablePercent`, lendable, "must be between 0 and 100, inclusive");
  }
  const borrowed = limited.borrowingLimitPercent ?? 0;
  if (borrowed < 0) {
    errors.invalid(`${path}.borrowingLimitPercent`, borrowed, "if specified, must be a non-negative integer");
  }
  const response = limited.limitResponse;
  if (response?.type === "Reject" && response.queuing !== undefined) {
    errors.forbidden(`${path}.limitResponse.queuing`, "must be nil if limited.limitResponse.type is not Limited");
  } else if (response?.type === "Queue" && response.queuing === undefined) {
    errors.required(`${path}.limitResponse.queuing`, "must not be empty if limited.limitResponse.type is Limited");
  } else validateOneOf(errors, `${path}.limitResponse.type`, response?.type, ["Queue", "Reject"]);
  for (const field of ["queueLengthLimit", "queues", "handSize"] as const) {
    const value = response?.queuing?.[field];
    if (value !== undefined && value <= 0)
      errors.invalid(`${path}.limitResponse.queuing.${field}`, value, "must be positive");
  }
  const { queues = 0, handSize = 0 } = response?.queuing ?? {};
  const at = `${path}.limitResponse.queuing`;
  if (queues > MAX_QUEUES) errors.invalid(`${at}.queues`, queues, `must not be greater than ${MAX_QUEUES}`);
  if (queues > 0 && handSize > queues) {
    errors.invalid(`${at}.handSize`, handSize, `should not be greater than queues (${queues})`);
  }
}

function limitedOf(object: PriorityLevelConfiguration): LimitedPriorityLevelConfiguration | undefined {
  return object.spec?.limited;
}

/** Source: pkg/registry/flowcontrol/prioritylevelconfiguration/strategy.go */
export const priorityLevelConfigurationKind = defineKind<PriorityLevelConfiguration>({
  ref: flowcontrol.prioritylevelconfigurations,
  subresources: [statusOf("PriorityLevelConfiguration")],
  prefix: "/registry/prioritylevelconfigurations",
  nameRule: subdomainName,
  statusFreezesMetadata: true,
  default({ spec }) {
    if (spec?.limited !== undefined) defaultLimited(spec.limited);
    if (spec?.exempt !== undefined) {
      spec.exempt.nominalConcurrencyShares ??= 0;
      spec.exempt.lendablePercent ??= 0;
    }
  },
  validate(errors, { spec }) {
    validateOneOf(errors, "spec.type", spec?.type, ["Exempt", "Limited"]);
    if (spec?.type === "Exempt" && spec.limited !== undefined) {
      errors.forbidden("spec.limited", "must be nil if the type is not Limited");
    }
    if (spec?.type === "Limited") {
      if (spec.exempt !== undefined) errors.forbidden("spec.exempt", "must be nil if the type is Limited");
      if (spec.limited === undefined) errors.required("spec.limited", "must not be empty when type is Limited");
      else validateLimited(errors, spec.limited);
    }
  },
  columns: [
    nameColumn(),
    textColumn("Type", ({ spec }) => spec?.type ?? ""),
    textColumn("NominalConcurrencyShares", (object) => limitedOf(object)?.nominalConcurrencyShares ?? "<none>"),
    textColumn("Queues", (object) => limitedOf(object)?.limitResponse?.queuing?.queues ?? "<none>"),
    textColumn("HandSize", (object) => limitedOf(object)?.limitResponse?.queuing?.handSize ?? "<none>"),
    textColumn("QueueLengthLimit", (object) => limitedOf(object)?.limitResponse?.queuing?.queueLengthLimit ?? "<none>"),
    ageColumn(),
  ],
});
