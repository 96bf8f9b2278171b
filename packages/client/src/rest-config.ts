/** Where an API server is and how to prove to it who we are. */

/** PEM material of one TLS connection. */
export interface TlsCredentials {
  readonly ca?: string | Buffer | undefined;
  readonly cert?: string | Buffer | undefined;
  readonly key?: string | Buffer | undefined;
}

export interface RestConfig extends TlsCredentials {
  /** "https://host:6443", perhaps with a path below which the API lies. */
  readonly server: string;
  /** A bearer token, or where to get the current one: asked before each request, so it must cache. */
  readonly token?: string | (() => Promise<string>) | undefined;
  /** Told that the server refused the token it gave (401): the next call of `token` should get a fresh one. */
  readonly refreshToken?: (() => void) | undefined;
  /** HTTP basic authentication, for proxies in front of an API server. */
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly insecureSkipTlsVerify?: boolean | undefined;
  /** The name the server's certificate must bear, when it isn't the host of `server`. */
  readonly tlsServerName?: string | undefined;
  /** Default namespace of the context. */
  readonly namespace?: string | undefined;
  readonly userAgent?: string | undefined;
  /**
   * The current TLS material where it can change while we run (files that get rotated, exec plugins); replaces ca, cert
   * and key. Asked before each request, so it must cache and return the same object until something changed.
   */
  readonly credentials?: (() => Promise<TlsCredentials>) | undefined;
  /** Headers `Impersonate-User`, `Impersonate-Group`, ... of `--as` and `as:`. */
  readonly impersonate?:
    | {
        readonly user: string;
        readonly groups?: readonly string[] | undefined;
        readonly uid?: string | undefined;
        readonly extra?: Readonly<Record<string, readonly string[]>> | undefined;
      }
    | undefined;
}
