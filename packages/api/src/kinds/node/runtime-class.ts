import { isDns1123Label } from "@knarr/apimachinery/name-validation.ts";
import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { defineKind } from "../../define-kind.ts";
import { node } from "../../generated/resources.ts";
import type { RuntimeClass } from "../../generated/types/node-v1.ts";
import { validateQuantity } from "../../validation/common.ts";
import { subdomainName } from "../../validation/names.ts";
import { validateLabels } from "../../validation/object-meta.ts";
import { validateTolerations } from "../core/pod-spec/scheduling.ts";
import { validateContainerResourceName } from "../core/resource-names.ts";

/** Source: pkg/registry/node/runtimeclass/strategy.go, ValidateRuntimeClass */
export const runtimeClassKind = defineKind<RuntimeClass>({
  ref: node.runtimeclasses,
  prefix: "/registry/runtimeclasses",
  nameRule: subdomainName,
  allowUnconditionalUpdate: false,
  validate(errors, object) {
    errors.invalidAll("handler", object.handler, isDns1123Label(object.handler));
    // Upstream's path: the amounts are judged as a container's limits.
    for (const [name, amount] of Object.entries(object.overhead?.podFixed ?? {})) {
      validateContainerResourceName(errors, `overhead.limits[${name}]`, name);
      validateQuantity(errors, `overhead.limits[${name}]`, amount);
    }
    validateLabels(errors, "scheduling.nodeSelector", object.scheduling?.nodeSelector);
    const tolerations = object.scheduling?.tolerations ?? [];
    validateTolerations(errors, "scheduling.tolerations", tolerations);
    for (const [i, toleration] of tolerations.entries()) {
      const isRepeated = tolerations.slice(0, i).some((other) => deepEqual(other, toleration));
      if (isRepeated) errors.duplicate(`scheduling.tolerations[${i}]`, toleration);
    }
  },
  validateUpdate(errors, object, old) {
    if (object.handler !== old.handler) errors.invalid("handler", object.handler, "field is immutable");
  },
  columns: [nameColumn(), textColumn("Handler", (object) => object.handler), ageColumn()],
});
