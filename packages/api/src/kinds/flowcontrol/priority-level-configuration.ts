import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { defineKind, statusOf } from "../../define-kind.ts";
import { flowcontrol } from "../../generated/resources.ts";
import type {
  ExemptPriorityLevelConfiguration,
  LimitedPriorityLevelConfiguration,
  PriorityLevelConfiguration,
  PriorityLevelConfigurationSpec,
  QueuingConfiguration,
} from "../../generated/types/flowcontrol-v1.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { subdomainName } from "../../validation/names.ts";
import { validateConditionTypes } from "./condition-rules.ts";
import { mandatoryLevelSpecs } from "./mandatory.ts";

const MAX_QUEUES = 10_000_000;
const MAX_HASH_BITS = 60;

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
  validateShares(errors, path, limited);
  const borrowed = limited.borrowingLimitPercent ?? 0;
  if (borrowed < 0) {
    errors.invalid(`${path}.borrowingLimitPercent`, borrowed, "if specified, must be a non-negative integer");
  }
  const at = `${path}.limitResponse`;
  const { type, queuing } = limited.limitResponse ?? {};
  if (type === "Reject") {
    if (queuing !== undefined) {
      errors.forbidden(`${at}.queuing`, "must be nil if limited.limitResponse.type is not Limited");
    }
  } else if (type !== "Queue") errors.notSupported(`${at}.type`, type ?? "", ["Queue", "Reject"]);
  else if (queuing === undefined) {
    errors.required(`${at}.queuing`, "must not be empty if limited.limitResponse.type is Limited");
  } else validateQueuing(errors, `${at}.queuing`, queuing);
}

/** Bits that it takes to deal a hand of `handSize` from `queues` cards. Source: shufflesharding.RequiredEntropyBits */
function entropyBits(queues: number, handSize: number): number {
  return Math.ceil(Math.log2(queues) * handSize);
}

function validateQueuing(errors: FieldErrors, path: string, queuing: QueuingConfiguration): void {
  const { queueLengthLimit = 0, queues = 0, handSize = 0 } = queuing;
  if (queueLengthLimit <= 0) errors.invalid(`${path}.queueLengthLimit`, queueLengthLimit, "must be positive");
  if (queues <= 0) errors.invalid(`${path}.queues`, queues, "must be positive");
  else if (queues > MAX_QUEUES) errors.invalid(`${path}.queues`, queues, `must not be greater than ${MAX_QUEUES}`);
  const complain = (detail: string) => errors.invalid(`${path}.handSize`, handSize, detail);
  if (handSize <= 0) complain("must be positive");
  else if (handSize > queues) complain(`should not be greater than queues (${queues})`);
  else if (entropyBits(queues, handSize) > MAX_HASH_BITS) {
    const sizes = `deckSize ${queues} and handSize ${handSize}`;
    complain(`required entropy bits of ${sizes} should not be greater than ${MAX_HASH_BITS}`);
  }
}

/** The contents of `exempt` are the administrators'. Source: ValidateIfMandatoryPriorityLevelConfigurationObject */
function validateMandatory(errors: FieldErrors, name: string, spec: PriorityLevelConfigurationSpec | undefined): void {
  const fixed = mandatoryLevelSpecs[name];
  if (fixed === undefined) return;
  const isExempt = name === "exempt";
  const compared = isExempt && spec !== undefined ? { ...spec, exempt: fixed.exempt } : spec;
  if (deepEqual(compared, fixed)) return;
  const except = isExempt ? " except the spec.exempt field" : "";
  errors.invalid("spec", spec, `spec of '${name}'${except} must equal the fixed value`);
}

function validateShares(errors: FieldErrors, path: string, of: ExemptPriorityLevelConfiguration): void {
  const { nominalConcurrencyShares: shares = 0, lendablePercent: lendable = 0 } = of;
  if (shares < 0) errors.invalid(`${path}.nominalConcurrencyShares`, shares, "must be a non-negative integer");
  if (lendable < 0 || lendable > 100) {
    errors.invalid(`${path}.lendablePercent`, lendable, "must be between 0 and 100, inclusive");
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
  validate(errors, { metadata: { name = "" }, spec }) {
    const type = spec?.type ?? "";
    if ((name === "exempt") !== (type === "Exempt")) {
      errors.invalid("spec.type", type, "type must be 'Exempt' if and only if name is 'exempt'");
    }
    if (type === "Exempt") {
      if (spec?.limited !== undefined) errors.forbidden("spec.limited", "must be nil if the type is not Limited");
      // What is absent is defaulted.
      if (spec?.exempt !== undefined) validateShares(errors, "spec.exempt", spec.exempt);
    } else if (type === "Limited") {
      if (spec?.exempt !== undefined) errors.forbidden("spec.exempt", "must be nil if the type is Limited");
      if (spec?.limited === undefined) errors.required("spec.limited", "must not be empty when type is Limited");
      else validateLimited(errors, spec.limited);
    } else errors.notSupported("spec.type", type, ["Exempt", "Limited"]);
    validateMandatory(errors, name, spec);
  },
  validateSubresource: (errors, { status }) => validateConditionTypes(errors, status?.conditions),
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
