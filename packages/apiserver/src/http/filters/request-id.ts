/** Gives the request its audit id: the client's `Audit-ID`, or a new one. */
import { randomUUID } from "node:crypto";
import type { Filter } from "./filter.ts";

/** Source: k8s.io/apiserver/pkg/endpoints/filters/request_received_time.go and audit_init.go. */
const MAX_AUDIT_ID_LENGTH = 64;

export const requestId: Filter = (context, _env, next) => {
  const given = context.header("audit-id");
  context.auditId = /^[\w.:-]+$/.test(given) ? given.slice(0, MAX_AUDIT_ID_LENGTH) : randomUUID();
  return next(context);
};
