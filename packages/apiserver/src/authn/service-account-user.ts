/** The identity of a ServiceAccount. Source: k8s.io/apiserver/pkg/authentication/serviceaccount */
import type { NamedObject } from "./token-claims.ts";
import {
  ALL_SERVICE_ACCOUNTS,
  SERVICE_ACCOUNT_GROUP_PREFIX,
  SERVICE_ACCOUNT_USER_PREFIX,
  type UserInfo,
} from "./types.ts";

export interface TokenReferences {
  readonly pod?: NamedObject;
  readonly node?: NamedObject;
  /** "JTI=..." */
  readonly credentialId?: string;
}

const PREFIX = "authentication.kubernetes.io";

/** `system:serviceaccount:NS:NAME` with its groups, and in `extra` what its token is bound to. */
export function serviceAccountUser(namespace: string, account: NamedObject, references: TokenReferences): UserInfo {
  const { pod, node, credentialId } = references;
  const extra: Record<string, readonly string[]> = {};
  if (credentialId !== undefined) extra[`${PREFIX}/credential-id`] = [credentialId];
  if (pod !== undefined) {
    extra[`${PREFIX}/pod-name`] = [pod.name];
    extra[`${PREFIX}/pod-uid`] = [pod.uid];
  }
  if (node !== undefined) {
    extra[`${PREFIX}/node-name`] = [node.name];
    if (node.uid !== "") extra[`${PREFIX}/node-uid`] = [node.uid];
  }
  return Object.freeze({
    name: `${SERVICE_ACCOUNT_USER_PREFIX}${namespace}:${account.name}`,
    uid: account.uid,
    groups: [ALL_SERVICE_ACCOUNTS, `${SERVICE_ACCOUNT_GROUP_PREFIX}${namespace}`],
    extra,
  });
}
