import { mkdirSync, writeFileSync } from "node:fs";
import { systemClock } from "@knarr/daemon/clock.ts";
import { createLogger } from "@knarr/daemon/logger.ts";
import { clusterPaths } from "../paths.ts";
import { identityFile } from "./component-process.ts";
import { keepHostRoutes } from "./host-routes.ts";
import { identify } from "./process-identity.ts";
import { Supervisor } from "./supervisor.ts";

// Started by `knarr up` with the data directory as its only argument.
const dataDir = process.argv[2];
if (dataDir === undefined) throw new Error("usage: main.ts DATA_DIR");
const paths = clusterPaths(dataDir);
const log = createLogger({ name: "supervisor" });
const controller = new AbortController();
for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, () => controller.abort());
process.on("SIGHUP", () => {}); // the terminal that started the cluster may close

mkdirSync(paths.run, { recursive: true });
writeFileSync(identityFile(paths.run, "supervisor"), JSON.stringify(await identify(process.pid)));
const supervisor = new Supervisor({
  socketPath: paths.supervisorSocket,
  runDir: paths.run,
  logDir: paths.logs,
  clock: systemClock,
  log,
  signal: controller.signal,
});
const routes = keepHostRoutes({ dataDir, clock: systemClock, log, signal: controller.signal });
await supervisor.run();
controller.abort();
await routes;
process.exit(0);
