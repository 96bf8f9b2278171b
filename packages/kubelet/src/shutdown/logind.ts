/**
 * systemd-logind by the tools that come with systemd, so that no D-Bus library is needed: `systemd-inhibit` holds the lock
 * for as long as its child lives, `busctl monitor` tells PrepareForShutdown. Owns those two processes and, where logind
 * would not wait long enough, /etc/systemd/logind.conf.d/99-kubelet.conf, as upstream does.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import type { ShutdownSource } from "./shutdown-manager.ts";

const run = promisify(execFile);
const LOGIND = ["org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager"];
const CONF_DIR = "/etc/systemd/logind.conf.d";

/** A line of `busctl monitor --json=short`: whether the machine is going down, undefined for anything else. Pure. */
export function goingDownIn(line: string): boolean | undefined {
  try {
    const message = JSON.parse(line) as { member?: unknown; payload?: { data?: unknown } };
    if (message.member !== "PrepareForShutdown") return undefined;
    const data = message.payload?.data;
    const first: unknown = Array.isArray(data) ? data[0] : data;
    return typeof first === "boolean" ? first : undefined;
  } catch {
    // Not a message: busctl says something about itself.
    return undefined;
  }
}

export class Logind implements ShutdownSource {
  #lock: ChildProcess | undefined;

  async inhibit(seconds: number): Promise<void> {
    if ((await delaySeconds()) < seconds) await extendDelay(seconds);
    this.release();
    const why = "Kubelet needs time to handle node shutdown";
    const args = ["--what=shutdown", "--who=kubelet", `--why=${why}`, "--mode=delay", "sleep", "infinity"];
    const lock = spawn("systemd-inhibit", args, { stdio: "ignore" });
    await new Promise<void>((resolve, reject) => {
      lock.once("error", reject);
      lock.once("spawn", () => resolve());
    });
    this.#lock = lock;
  }

  release(): void {
    this.#lock?.kill("SIGTERM");
    this.#lock = undefined;
  }

  async *events(signal: AbortSignal): AsyncIterable<boolean> {
    const match = "type='signal',interface='org.freedesktop.login1.Manager',member='PrepareForShutdown'";
    const monitor = spawn("busctl", ["--system", "--json=short", `--match=${match}`, "monitor"], {
      stdio: ["ignore", "pipe", "ignore"],
      signal,
    });
    const failed = new Promise<never>((_, reject) => monitor.once("error", reject));
    // Whoever reads the lines learns of it by their end.
    failed.catch(() => undefined);
    for await (const line of createInterface({ input: monitor.stdout })) {
      const goingDown = goingDownIn(line);
      if (goingDown !== undefined) yield goingDown;
    }
    signal.throwIfAborted();
    throw new Error("busctl monitor ended");
  }
}

/** How long logind waits for those who hold the lock. Throws where there is no logind. */
async function delaySeconds(): Promise<number> {
  const { stdout } = await run("busctl", ["--system", "get-property", ...LOGIND, "InhibitDelayMaxUSec"]);
  return Number(stdout.trim().split(" ")[1] ?? 0) / 1e6;
}

async function extendDelay(seconds: number): Promise<void> {
  await mkdir(CONF_DIR, { recursive: true });
  await writeFile(`${CONF_DIR}/99-kubelet.conf`, `# Kubelet logind override\n[Login]\nInhibitDelayMaxSec=${seconds}\n`);
  await run("systemctl", ["kill", "--signal=SIGHUP", "systemd-logind"]);
  for (let attempt = 0; attempt < 20; attempt++) {
    if ((await delaySeconds()) >= seconds) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`systemd-logind does not wait for ${seconds} s; another file in ${CONF_DIR} may say less`);
}
