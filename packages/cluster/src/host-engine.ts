/**
 * A Docker Engine that others own as well: what it says of itself, and the end of the containers that one kubelet made in
 * it. Never touches a container without that kubelet's label, whatever it is called or looks like.
 */
import { systemClock } from "@knarr/daemon/clock.ts";
import { request } from "@knarr/daemon/node-http.ts";

/** Says which kubelet's state folder a container belongs to; packages/cri/README.md has the labels. */
const OWNER_LABEL = "dev.knarr.cri.owner";
const TIMEOUT_MS = 30_000;
const RETRY_MS = 200;

export interface EngineOptions {
  readonly socket: string;
  readonly signal?: AbortSignal;
}

export interface HostEngine {
  readonly dataRoot: string;
  readonly cgroupDriver: "cgroupfs" | "systemd";
}

/** Throws with the engine's or the system's words. */
export async function readEngine(options: EngineOptions): Promise<HostEngine> {
  const { text } = await ask("GET", "/info", options);
  const { DockerRootDir, CgroupDriver } = JSON.parse(text) as { DockerRootDir: string; CgroupDriver: string };
  return { dataRoot: DockerRootDir, cgroupDriver: CgroupDriver === "systemd" ? "systemd" : "cgroupfs" };
}

/**
 * Removes every container, running or not, that the kubelet with this state folder made, and returns when none is left.
 * Throws the signal's reason when its time is over before.
 */
export async function removeContainersOf(owner: string, options: EngineOptions & { signal: AbortSignal }) {
  const filters = encodeURIComponent(JSON.stringify({ label: [`${OWNER_LABEL}=${owner}`] }));
  for (;;) {
    const { text } = await ask("GET", `/containers/json?all=1&filters=${filters}`, options);
    const ids = (JSON.parse(text) as { Id: string }[]).map(({ Id }) => Id);
    if (ids.length === 0) return;
    // 404: gone meanwhile. 409: its removal is under way, and looked for again.
    await Promise.all(ids.map((id) => ask("DELETE", `/containers/${id}?force=1&v=1`, options, [404, 409])));
    await systemClock.sleep(RETRY_MS, options.signal);
  }
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

function ask(
  method: string,
  path: string,
  { socket, signal }: EngineOptions,
  tolerated: readonly number[] = [],
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const deadline = AbortSignal.timeout(TIMEOUT_MS);
    const joined = signal === undefined ? deadline : AbortSignal.any([signal, deadline]);
    const call = request({ socketPath: socket, method, path, agent: false, signal: joined }, (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.once("error", reject);
      response.once("end", () => {
        const text = Buffer.concat(parts).toString("utf8");
        const status = response.statusCode ?? 0;
        if (status < 300 || tolerated.includes(status)) resolve({ status, text });
        else reject(new Error(`Docker Engine, ${method} ${path}: ${status} ${text.trim()}`));
      });
    });
    call.once("error", reject);
    call.end();
  });
}
