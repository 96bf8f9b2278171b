/** Reviews */
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { ResourceRequest } from "../verbs/environment.ts";

const none = async (_request: ResourceRequest): Promise<void> => {
  throw statusErrors.pathNotFound();
};
export const localSubjectAccessReview = none;
export const selfSubjectAccessReview = none;
export const selfSubjectReview = none;
export const selfSubjectRulesReview = none;
export const subjectAccessReview = none;
export const tokenReview = none;
