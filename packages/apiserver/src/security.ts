/** Authentication, authorisation and the ServiceAccount token issuer, put together from the configuration. */
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import type { Client } from "@knarr/client/client.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { Authenticator, Credentials } from "./authn/types.ts";
import { ALL_AUTHENTICATED, ANONYMOUS } from "./authn/types.ts";
import type { Authorizer } from "./authz/types.ts";
import type { LoopbackAuthenticator } from "./bootstrap/loopback.ts";
import type { Config } from "./config.ts";
import type { ResourceHooks, ResourceIndex } from "./registry/resource.ts";
import type { Storage } from "./storage/storage.ts";

export interface SecurityOptions {
  readonly config: Config;
  readonly storage: Storage;
  readonly loopback: LoopbackAuthenticator;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Security {
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly issuerDocuments: Readonly<Record<string, () => { body: string; contentType: string }>>;
  rbacHooks(ref: ResourceRef<unknown>): ResourceHooks | undefined;
  /** Reads its views; call once the resources are made. */
  start(resources: ResourceIndex): void;
  reconcileBootstrapPolicy(client: Client, done: () => void, signal: AbortSignal): Promise<void>;
}

export async function createSecurity(options: SecurityOptions): Promise<Security> {
  return {
    authenticator: {
      async authenticate(credentials: Credentials) {
        const found = await options.loopback.authenticate(credentials);
        if (found !== undefined) return found;
        const cn = credentials.certificate?.subject?.CN;
        if (typeof cn === "string") {
          const o = credentials.certificate?.subject?.O;
          const groups = Array.isArray(o) ? o : o === undefined ? [] : [o];
          return { user: { name: cn, uid: "", groups: [...groups, ALL_AUTHENTICATED], extra: {} } };
        }
        return { user: { name: ANONYMOUS, uid: "", groups: [], extra: {} } };
      },
    },
    authorizer: { authorize: () => ({ verdict: "allowed", reason: "" }) },
    issuerDocuments: {},
    rbacHooks: () => undefined,
    start() {},
    async reconcileBootstrapPolicy(_client, done, signal) {
      done();
      await options.clock.sleep(2 ** 31, signal);
    },
  };
}
