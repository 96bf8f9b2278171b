import { networkInterfaces } from "node:os";
import { createLogger } from "@knarr/daemon/logger.ts";
import { runApiserver, runClusterDns, runComponent } from "./control-plane.ts";
import { runDockerNode } from "./docker-node.ts";
import { runNode } from "./node.ts";
import { ContainerComponents } from "./run-components.ts";
import { runSetup } from "./setup.ts";

// The entry point of the containers in docker-compose.yml: the role is the only argument.
const role = process.argv[2] ?? "";
const log = createLogger({ name: role });
const controller = new AbortController();
for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, () => controller.abort());
const { signal } = controller;
const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
const ip = own.find(({ family, internal }) => family === "IPv4" && !internal)?.address;
if (ip === undefined) throw new Error("this container has no IPv4 address");
const components = new ContainerComponents(log);
switch (role) {
  case "setup":
    try {
      await runSetup(ip, process.env.KNARR_API_PORT ?? "6443");
    } catch (error) {
      // Compose says only that setup failed; `docker compose logs setup` has this line.
      process.stderr.write(`knarr setup: ${(error as Error).message}\n`);
      process.exit(1);
    }
    process.exit(0);
    break;
  case "etcd":
  case "controller-manager":
  case "scheduler":
    await runComponent(role, ip, components);
    break;
  case "apiserver":
    await runApiserver(ip, components, { log, signal });
    break;
  case "cluster-dns":
    await runClusterDns(ip, components, { log, signal });
    break;
  case "node":
    await runNode(ip, components, signal);
    break;
  case "docker-node":
    await runDockerNode(ip, components, signal);
    break;
  default:
    throw new Error(
      `unknown role ${JSON.stringify(role)}: must be setup, etcd, apiserver, controller-manager, scheduler, cluster-dns, node or docker-node`,
    );
}
await components.untilStopped(signal);
process.exit(0);
