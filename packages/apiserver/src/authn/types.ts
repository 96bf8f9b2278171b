/**
 * Who is asking. Owns the vocabulary of authentication: the user and the small interface that every way of proving an identity has.
 * Source: k8s.io/apiserver/pkg/authentication/{user,authenticator}
 */
import type { X509Certificate } from "node:crypto";
import type { PeerCertificate } from "node:tls";

/** An identity. Frozen. */
export interface UserInfo {
  readonly name: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/** What of a request proves an identity. */
export interface Credentials {
  /** Value of the Authorization header, if any. */
  readonly authorization?: string;
  /**
   * The client's certificate, only if the TLS layer has verified its chain against --client-ca-file (`socket.authorized`).
   * Pass `socket.getPeerCertificate()`; an empty object counts as none.
   */
  readonly certificate?: Pick<PeerCertificate, "subject"> & Partial<PeerCertificate>;
  /** The same certificate with its chain: which CA it comes from. */
  readonly x509?: X509Certificate;
  /** All headers by lower-case name, each with its values in order. Made when asked for: few need it. */
  readonly headers?: () => ReadonlyMap<string, readonly string[]>;
  /** Where anonymous requests are let in only on some paths. */
  readonly path?: string;
  /** Value of a WebSocket's Sec-WebSocket-Protocol header: browsers put a token there (base64url.bearer.authorization.k8s.io.TOKEN). */
  readonly webSocketProtocols?: string;
}

/** A proven identity, and for tokens the audiences that they are good for. */
export interface Authentication {
  readonly user: UserInfo;
  readonly audiences?: readonly string[];
}

/**
 * One way of proving an identity. Answers undefined when the credentials are not of its sort (the next one is asked), and throws
 * AuthenticationError when they are of its sort and wrong (upstream asks the next one too; if none accepts, the answer is 401).
 */
export interface Authenticator {
  authenticate(credentials: Credentials, signal?: AbortSignal): MaybeLater<Authentication | undefined>;
}

/** At once where the answer is in memory, so that a request need not wait for a turn; what is thrown may be thrown or rejected with. */
export type MaybeLater<T> = T | Promise<T>;

/** One way of checking a bearer token. Same contract. `audiences`: those the server accepts; [] means its own. */
export interface TokenAuthenticator {
  authenticateToken(token: string, audiences: readonly string[]): MaybeLater<Authentication | undefined>;
}

/** Wrong credentials. The text is for the log and TokenReview's status.error; clients of the API get a bare 401. */
export class AuthenticationError extends Error {
  override readonly name = "AuthenticationError";
}

/** Well-known names. Source: k8s.io/apiserver/pkg/authentication/user */
export const SYSTEM_MASTERS = "system:masters";
export const ALL_AUTHENTICATED = "system:authenticated";
export const ALL_UNAUTHENTICATED = "system:unauthenticated";
export const ANONYMOUS = "system:anonymous";
export const NODES_GROUP = "system:nodes";
export const NODE_USER_PREFIX = "system:node:";
export const ALL_SERVICE_ACCOUNTS = "system:serviceaccounts";
export const SERVICE_ACCOUNT_USER_PREFIX = "system:serviceaccount:";
export const SERVICE_ACCOUNT_GROUP_PREFIX = "system:serviceaccounts:";
export const BOOTSTRAP_USER_PREFIX = "system:bootstrap:";
export const API_SERVER_USER = "system:apiserver";
