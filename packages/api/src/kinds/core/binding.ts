import { defineKind } from "../../define-kind.ts";
import { core } from "../../generated/resources.ts";
import type { Binding } from "../../generated/types/core-v1.ts";
import { requireText } from "../../validation/common.ts";
import { subdomainName } from "../../validation/names.ts";

/** Answered by pods/binding; never stored. Source: core/validation ValidatePodBinding */
export const bindingKind = defineKind<Binding>({
  ref: core.bindings,
  verbs: ["create"],
  prefix: "",
  nameRule: subdomainName,
  validate(errors, binding) {
    const kind = binding.target?.kind ?? "";
    if (kind !== "" && kind !== "Node") errors.notSupported("target.kind", kind, ["Node", "<empty>"]);
    requireText(errors, "target.name", binding.target?.name);
  },
});
