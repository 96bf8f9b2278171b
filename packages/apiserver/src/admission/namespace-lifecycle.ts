/**
 * Refuses new objects in namespaces that are missing or being deleted, and the deletion of the system's namespaces.
 * Source: k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle
 */
import { core } from "@knarr/api/generated/resources.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { type AdmissionAttributes, type AdmissionPlugin, admissionForbidden, isFor } from "./plugin.ts";

const IMMORTAL = new Set(["default", "kube-system", "kube-public"]);
/** Access reviews may ask about namespaces that do not exist. */
const REVIEWS = new Set(["localsubjectaccessreviews"]);

export const namespaceLifecycle: AdmissionPlugin = {
  name: "NamespaceLifecycle",
  async admit(attributes, env) {
    if (attributes.operation === "DELETE" && isFor(attributes, core.namespaces) && IMMORTAL.has(attributes.name)) {
      throw statusErrors.forbidden(
        { group: "", resource: "namespaces" },
        attributes.name,
        "this namespace may not be deleted",
      );
    }
    if (attributes.operation !== "CREATE" || attributes.namespace === "" || !attributes.ref.namespaced) return;
    if (REVIEWS.has(attributes.ref.resource)) return;
    const key = { namespace: "", name: attributes.namespace };
    const namespace =
      (await env.lookup.get(core.namespaces, key)) ?? (await env.lookup.get(core.namespaces, key, { live: true }));
    if (namespace === undefined)
      throw statusErrors.notFound({ group: "", resource: "namespaces" }, attributes.namespace);
    if (namespace.metadata?.deletionTimestamp === undefined && namespace.status?.phase !== "Terminating") return;
    throw terminating(attributes);
  },
};

function terminating(attributes: AdmissionAttributes): Error {
  const { namespace } = attributes;
  const error = admissionForbidden(
    attributes,
    `unable to create new content in namespace ${namespace} because it is being terminated`,
  );
  error.status.details = {
    ...error.status.details,
    causes: [
      {
        reason: "NamespaceTerminating",
        message: `namespace ${namespace} is being terminated`,
        field: "metadata.namespace",
      },
    ],
  };
  return error;
}
