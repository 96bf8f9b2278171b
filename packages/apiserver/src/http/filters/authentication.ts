/** Finds out who asks. Wrong or missing credentials end here with 401. */
import type { X509Certificate } from "node:crypto";
import type { Http2Session } from "node:http2";
import type { PeerCertificate, TLSSocket } from "node:tls";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { type Authentication, AuthenticationError } from "../../authn/types.ts";
import type { RawRequest, RequestContext } from "../request-context.ts";
import type { Filter, FilterEnvironment, Next } from "./filter.ts";

interface Peer {
  readonly certificate: PeerCertificate;
  readonly x509: X509Certificate;
}

/** Certificates by connection: reading one from OpenSSL costs more than a request's share of it. */
const peers = new WeakMap<TLSSocket | Http2Session, Peer | undefined>();

function peerOf(request: RawRequest): Peer | undefined {
  const session = "stream" in request ? request.stream.session : undefined;
  const key = session ?? (request.socket as TLSSocket);
  if (!peers.has(key)) {
    const socket = (session?.socket ?? request.socket) as TLSSocket;
    const certificate = socket.authorized ? socket.getPeerCertificate() : undefined;
    const x509 = socket.authorized ? socket.getPeerX509Certificate() : undefined;
    const isThere = certificate !== undefined && "subject" in certificate && x509 !== undefined;
    peers.set(key, isThere ? { certificate, x509 } : undefined);
  }
  return peers.get(key);
}

/** By lower-case name, every value that was sent. */
function allHeaders(request: RawRequest): ReadonlyMap<string, readonly string[]> {
  const headers = new Map<string, string[]>();
  const raw = request.rawHeaders;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i]?.toLowerCase() ?? "";
    const values = headers.get(name);
    if (values === undefined) headers.set(name, [raw[i + 1] ?? ""]);
    else values.push(raw[i + 1] ?? "");
  }
  return headers;
}

export const authentication: Filter = (context, env, next) => {
  const authorization = context.header("authorization");
  const webSocketProtocols = context.header("sec-websocket-protocol");
  const peer = peerOf(context.request);
  let found: ReturnType<typeof env.authenticator.authenticate>;
  try {
    found = env.authenticator.authenticate(
      {
        ...(authorization === "" ? {} : { authorization }),
        ...(webSocketProtocols === "" ? {} : { webSocketProtocols }),
        ...(peer === undefined ? {} : peer),
        headers: () => allHeaders(context.request),
        path: context.path,
      },
      undefined,
    );
  } catch (error) {
    return refuse(context, env, error);
  }
  if (!(found instanceof Promise)) return asUser(context, found, next);
  return found.then(
    (late) => asUser(context, late, next),
    (error) => refuse(context, env, error),
  );
};

function asUser(context: RequestContext, found: Authentication | undefined, next: Next): Promise<void> {
  if (found === undefined) throw statusErrors.unauthorized();
  context.user = found.user;
  return next(context);
}

function refuse(context: RequestContext, env: FilterEnvironment, error: unknown): never {
  if (!(error instanceof AuthenticationError)) throw error;
  env.log.info({ err: error.message, path: context.path }, "unable to authenticate the request");
  throw statusErrors.unauthorized();
}
