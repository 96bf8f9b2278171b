/** Finds out who asks. Wrong or missing credentials end here with 401. */
import type { Http2Session } from "node:http2";
import type { PeerCertificate, TLSSocket } from "node:tls";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { RawRequest } from "../request-context.ts";
import type { Filter } from "./filter.ts";

/** Certificates by connection: reading one from OpenSSL costs more than a request's share of it. */
const certificates = new WeakMap<TLSSocket | Http2Session, PeerCertificate | undefined>();

function peerCertificate(request: RawRequest): PeerCertificate | undefined {
  const session = "stream" in request ? request.stream.session : undefined;
  const key = session ?? (request.socket as TLSSocket);
  if (!certificates.has(key)) {
    const socket = (session?.socket ?? request.socket) as TLSSocket;
    const certificate = socket.authorized ? socket.getPeerCertificate() : undefined;
    certificates.set(key, certificate !== undefined && "subject" in certificate ? certificate : undefined);
  }
  return certificates.get(key);
}

export const authentication: Filter = async (context, env, next) => {
  const authorization = context.header("authorization");
  const webSocketProtocols = context.header("sec-websocket-protocol");
  const certificate = peerCertificate(context.request);
  let result: Awaited<ReturnType<typeof env.authenticator.authenticate>>;
  try {
    result = await env.authenticator.authenticate(
      {
        ...(authorization === "" ? {} : { authorization }),
        ...(webSocketProtocols === "" ? {} : { webSocketProtocols }),
        ...(certificate === undefined ? {} : { certificate }),
      },
      undefined,
    );
  } catch (error) {
    if (!(error instanceof Error && error.name === "AuthenticationError")) throw error;
    env.log.info({ err: error.message, path: context.path }, "unable to authenticate the request");
    throw statusErrors.unauthorized();
  }
  if (result === undefined) throw statusErrors.unauthorized();
  context.user = result.user;
  return next();
};
