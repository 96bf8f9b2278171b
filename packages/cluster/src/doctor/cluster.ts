/** A cluster that was made: its components, certificates, clock and DNS. */
import { X509Certificate } from "node:crypto";
import { Resolver } from "node:dns/promises";
import { readdir, readFile } from "node:fs/promises";
import { request } from "node:https";
import { join } from "node:path";
import { clusterPaths } from "../paths.ts";
import { type ComponentStatus, clusterStatus } from "../status.ts";
import { type Check, type Finding, failure, ok, warning } from "./check.ts";
import { judgeCertificate, judgeSkew } from "./limits.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
const RESTARTS_WORTH_A_WORD = 3;

const components: Check = {
  subject: "components",
  async run({ dataDir, config }) {
    const subject = "components";
    const status = config === undefined ? undefined : await clusterStatus(dataDir);
    if (status === undefined) return [ok(subject, 'no cluster yet; "knarr up" makes one')];
    if (!status.supervised && status.components.every((c) => c.state === "stopped")) {
      return [ok(subject, 'the cluster is down; "knarr up" starts it')];
    }
    const found: Finding[] = [];
    if (!status.supervised) {
      const cause = "what ends is not started again";
      found.push(failure("supervisor", "does not run", { cause, fix: `knarr up --data-dir ${dataDir}` }));
    }
    const { logs } = clusterPaths(dataDir);
    for (const component of status.components) found.push(...(await judgeComponent(component, logs)));
    return found.length > 0 ? found : [ok(subject, `all ${status.components.length} are well`)];
  },
};

async function judgeComponent(component: ComponentStatus, logs: string): Promise<Finding[]> {
  const { name, healthy, state, message, restarts } = component;
  if (healthy && restarts < RESTARTS_WORTH_A_WORD) return [];
  const last = await lastComplaint(join(logs, `${name}.log`));
  const fix = `knarr logs component/${name} --tail 50`;
  if (healthy) return [warning(name, `was restarted ${restarts} times`, { cause: last || "its log says why", fix })];
  const found = `${state === "running" ? "unhealthy" : state}${message === "" ? "" : `: ${message}`}`;
  return [failure(name, found, { cause: last || "its log says why", fix })];
}

const MAX_CHARS = 200;

/** The last line of a log that speaks of an error. */
async function lastComplaint(file: string): Promise<string> {
  const text = await readFile(file, "utf8").catch(() => ""); // never started
  const line = text
    .trimEnd()
    .split("\n")
    .slice(-200)
    .findLast((candidate) =>
      /"level":"(error|fatal|warn)"|level=(error|fatal)|\b(error|panic|fatal)\b/i.test(candidate),
    );
  if (line === undefined) return "";
  try {
    const entry = JSON.parse(line) as { msg?: string; err?: { message?: string }; error?: string };
    const reason = entry.err?.message ?? entry.error;
    return [entry.msg, reason]
      .filter((part) => part !== undefined)
      .join(": ")
      .slice(0, MAX_CHARS);
  } catch {
    // Not one of ours: as it stands.
    return line.slice(0, MAX_CHARS);
  }
}

const certificates: Check = {
  subject: "certificates",
  async run({ dataDir, config }) {
    if (config === undefined) return [];
    const { pki } = clusterPaths(dataDir);
    const names = await readdir(pki, { recursive: true }).catch(() => []); // not made yet
    const found: Finding[] = [];
    let count = 0;
    for (const name of names.filter((file) => file.endsWith(".crt"))) {
      count++;
      const { validTo } = new X509Certificate(await readFile(join(pki, name)));
      found.push(...judgeCertificate(name, (Date.parse(validTo) - Date.now()) / DAY_MS));
    }
    return found.length > 0 || count === 0 ? found : [ok("certificates", `${count}, all valid for 30 days and more`)];
  },
};

const clock: Check = {
  subject: "clock",
  async run({ config }) {
    if (config === undefined) return [];
    const date = await dateOf(`https://127.0.0.1:${config.ports.apiserver}/version`);
    return date === undefined ? [] : [judgeSkew(Date.now() - date)];
  },
};

const TIMEOUT_MS = 2000;

/** Epoch ms from the server's Date header (whole seconds); undefined when it does not answer, which is said elsewhere. */
function dateOf(url: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    // Only the clock is read, so the server need not prove who it is.
    const call = request(url, { rejectUnauthorized: false, timeout: TIMEOUT_MS, agent: false }, (response) => {
      response.resume();
      resolve(response.headers.date === undefined ? undefined : Date.parse(response.headers.date) + 500);
    });
    call.on("timeout", () => call.destroy(new Error("timeout")));
    call.on("error", () => resolve(undefined));
    call.end();
  });
}

const clusterDns: Check = {
  subject: "cluster DNS",
  async run({ dataDir, config }) {
    const status = config === undefined ? undefined : await clusterStatus(dataDir);
    if (config === undefined || status?.components.find((c) => c.name === "cluster-dns")?.state !== "running")
      return [];
    const name = `kubernetes.default.svc.${config.clusterDomain}`;
    const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: 2 });
    resolver.setServers([config.hostIp]);
    try {
      const [address] = await resolver.resolve4(name);
      return [ok("cluster DNS", `${name} is ${address}`)];
    } catch (error) {
      const cause = "pods can't find Services by name";
      const fix = "knarr logs component/cluster-dns --tail 50";
      return [failure("cluster DNS", `${name}: ${(error as Error).message}`, { cause, fix })];
    }
  },
};

export const clusterChecks: readonly Check[] = [components, certificates, clock, clusterDns];
