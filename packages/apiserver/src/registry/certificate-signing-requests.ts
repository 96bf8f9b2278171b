/**
 * CertificateSigningRequests say who asked for them: the server's word, not the client's.
 * Source: k8s.io/kubernetes/pkg/registry/certificates/certificates/strategy.go
 */
import type { CertificateSigningRequest } from "@knarr/api/generated/types/certificates-v1.ts";
import type { ResourceHooks } from "./resource.ts";

export const certificateSigningRequestHooks: ResourceHooks = {
  beginCreate(object, { user }) {
    const { spec } = object as CertificateSigningRequest;
    spec.username = user.name;
    if (user.uid === "") delete spec.uid;
    else spec.uid = user.uid;
    spec.groups = [...user.groups];
    if (Object.keys(user.extra).length === 0) delete spec.extra;
    else spec.extra = Object.fromEntries(Object.entries(user.extra).map(([key, values]) => [key, [...values]]));
  },
};
