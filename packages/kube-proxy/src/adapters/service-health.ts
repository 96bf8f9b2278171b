/**
 * The HTTP servers behind healthCheckNodePort: they tell a load balancer whether this node has an endpoint of a Service
 * whose external policy is Local. Source: KEP-1669, core/v1 ServiceSpec.healthCheckNodePort
 */
import type { Server } from "node:http";
import type { Logger } from "@knarr/daemon/logger.ts";
import { createServer } from "@knarr/daemon/node-http.ts";

export interface ServiceHealth {
  readonly namespace: string;
  readonly name: string;
  readonly localEndpoints: number;
}

export class ServiceHealthServers {
  readonly #servers = new Map<number, Server>();
  readonly #isProxyHealthy: () => boolean;
  readonly #log: Logger;
  #services: ReadonlyMap<number, ServiceHealth> = new Map();

  constructor(isProxyHealthy: () => boolean, log: Logger) {
    this.#isProxyHealthy = isProxyHealthy;
    this.#log = log;
  }

  /** Opens and closes servers until there is one per key, which is the node port. */
  sync(services: ReadonlyMap<number, ServiceHealth>): void {
    this.#services = services;
    for (const [port, server] of this.#servers) {
      if (services.has(port)) continue;
      this.#servers.delete(port);
      server.close();
      server.closeAllConnections();
    }
    for (const port of services.keys()) if (!this.#servers.has(port)) this.#open(port);
  }

  close(): void {
    this.sync(new Map());
  }

  #open(port: number): void {
    const server = createServer((_request, response) => {
      const service = this.#services.get(port);
      const healthy = this.#isProxyHealthy();
      const count = service?.localEndpoints ?? 0;
      response.writeHead(count > 0 && healthy ? 200 : 503, {
        "content-type": "application/json",
        "x-content-type-options": "nosniff",
        "x-load-balancing-endpoint-weight": String(count),
      });
      const named = { namespace: service?.namespace ?? "", name: service?.name ?? "" };
      response.end(JSON.stringify({ service: named, localEndpoints: count, serviceProxyHealthy: healthy }, null, "\t"));
    });
    server.on("error", (error) => {
      // Another program holds the port: the balancer sees the node as down, and the next sync tries again.
      this.#log.warn({ port, err: error }, "can't serve a health check node port");
      if (this.#servers.get(port) === server) this.#servers.delete(port);
    });
    this.#servers.set(port, server);
    server.listen(port);
  }
}
