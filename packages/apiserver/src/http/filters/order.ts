/** The filters of every request, outermost first. */
import { audit, auditReceived } from "./audit.ts";
import { authentication } from "./authentication.ts";
import { authorization } from "./authorization.ts";
import { deadline } from "./deadline.ts";
import { errors } from "./errors.ts";
import type { Filter } from "./filter.ts";
import { flowControl } from "./flow-control.ts";
import { impersonation } from "./impersonation.ts";
import { measure } from "./measure.ts";
import { requestId } from "./request-id.ts";

export const filters: readonly Filter[] = [
  requestId, //      Audit-ID
  measure, //        metrics; sees the final code
  audit, //          one event per request; sees the final user and code
  errors, //         what anything below throws becomes a Status; a bug becomes a 500
  authentication, // who
  auditReceived, //  that it came
  impersonation, //  on whose behalf
  flowControl, //    whether now, later, or not at all
  authorization, //  whether
  deadline, //       how long
];
