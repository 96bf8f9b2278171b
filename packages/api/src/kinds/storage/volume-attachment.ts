import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { defineKind, statusOf } from "../../define-kind.ts";
import { storage } from "../../generated/resources.ts";
import type { VolumeAttachment } from "../../generated/types/storage-v1.ts";
import { requireText } from "../../validation/common.ts";
import { subdomainName } from "../../validation/names.ts";
import { defaultPersistentSource } from "../core/pod-spec/volume-defaults.ts";

/** Source: pkg/registry/storage/volumeattachment/strategy.go, ValidateVolumeAttachment */
export const volumeAttachmentKind = defineKind<VolumeAttachment>({
  ref: storage.volumeattachments,
  subresources: [statusOf("VolumeAttachment")],
  prefix: "/registry/volumeattachments",
  nameRule: subdomainName,
  generation: "none",
  allowUnconditionalUpdate: false,
  default({ spec }) {
    if (spec.source.inlineVolumeSpec !== undefined) defaultPersistentSource(spec.source.inlineVolumeSpec);
  },
  validate(errors, { spec }) {
    requireText(errors, "spec.attacher", spec.attacher);
    requireText(errors, "spec.nodeName", spec.nodeName);
    const { inlineVolumeSpec, persistentVolumeName } = spec.source;
    if (inlineVolumeSpec === undefined && persistentVolumeName === undefined) {
      errors.required("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
    } else if (inlineVolumeSpec !== undefined && persistentVolumeName !== undefined) {
      errors.forbidden("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
    } else if (persistentVolumeName === "") {
      errors.required("spec.source.persistentVolumeName", "must specify non empty persistentVolumeName");
    }
  },
  validateUpdate(errors, object, old) {
    if (!deepEqual(object.spec, old.spec)) errors.invalid("spec", object.spec, "field is immutable");
  },
  columns: [
    nameColumn(),
    { ...textColumn<VolumeAttachment>("Attacher", ({ spec }) => spec.attacher), format: "name" },
    textColumn("PV", ({ spec }) => spec.source.persistentVolumeName ?? ""),
    textColumn("Node", ({ spec }) => spec.nodeName),
    { ...textColumn<VolumeAttachment>("Attached", ({ status }) => status?.attached ?? false), type: "boolean" },
    ageColumn(),
  ],
});
