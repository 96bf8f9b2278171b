/**
 * Runs CNI plugins: ADD attaches a network namespace to a network, DEL detaches it, CHECK asks whether it still is. Owns no
 * files: the caller keeps the network and the result, for DEL may come after a restart and the configuration have changed.
 * Source: CNI specification 1.0, "Execution of Network Configurations"
 */
import { spawn } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { join } from "node:path";
import type { CniResult } from "./cni-result.ts";
import type { NetworkConfig, PluginConfig } from "./network-config.ts";

export type CniCommand = "ADD" | "DEL" | "CHECK";

/** One attachment; the same for its ADD, CHECKs and DEL. */
export interface Attachment {
  readonly network: NetworkConfig;
  readonly containerId: string;
  /** "" when the namespace is gone already: DEL then cleans up what is outside of it. */
  readonly netns: string;
  readonly ifName: string;
  readonly args: Readonly<Record<string, string>>;
  /** Values per capability; each plugin gets those that it declares. */
  readonly capabilities: Readonly<Record<string, unknown>>;
}

/** A plugin refused, or broke. The message is the plugin's own. */
export class CniError extends Error {
  readonly command: CniCommand;
  readonly plugin: string;
  /** The specification's error code; undefined when the plugin gave none. */
  readonly errorCode: number | undefined;
  constructor(command: CniCommand, plugin: string, message: string, errorCode?: number) {
    super(`plugin type=${JSON.stringify(plugin)} failed (${command.toLowerCase()}): ${message}`);
    this.name = "CniError";
    this.command = command;
    this.plugin = plugin;
    this.errorCode = errorCode;
  }
}

/** What one plugin reads: its own part of the network with the parts that the runtime adds. Pure. */
export function pluginInput(
  plugin: PluginConfig,
  attachment: Pick<Attachment, "network" | "capabilities">,
  prevResult: CniResult | undefined,
): object {
  const { capabilities = {}, ...own } = plugin;
  const granted = Object.entries(attachment.capabilities).filter(
    ([name, value]) => capabilities[name] === true && value !== undefined,
  );
  return {
    ...own,
    name: attachment.network.name,
    cniVersion: attachment.network.cniVersion,
    ...(granted.length === 0 ? {} : { runtimeConfig: Object.fromEntries(granted) }),
    ...(prevResult === undefined ? {} : { prevResult }),
  };
}

/** Major and minor of a specification's version, for comparing. */
function isAtLeast(version: string, major: number, minor: number): boolean {
  const [theirs = 0, theirMinor = 0] = version.split(".").map(Number);
  return theirs > major || (theirs === major && theirMinor >= minor);
}

export class Cni {
  readonly #binDirs: readonly string[];
  readonly #timeoutMs: number;

  constructor(binDirs: readonly string[], timeoutMs = 120_000) {
    this.#binDirs = binDirs;
    this.#timeoutMs = timeoutMs;
  }

  /** Every plugin in order, each with the result of the one before. What a failure leaves behind, a DEL takes away. */
  async add(attachment: Attachment, signal?: AbortSignal): Promise<CniResult> {
    let result: CniResult | undefined;
    for (const plugin of attachment.network.plugins) {
      const output = await this.#run("ADD", plugin, attachment, result, signal);
      result = parseResult("ADD", plugin.type, output);
    }
    return result ?? {};
  }

  /** Throws CniError with the plugin's reason when the attachment is not as it was made. Networks may have switched it off. */
  async check(attachment: Attachment, result: CniResult, signal?: AbortSignal): Promise<void> {
    const { network } = attachment;
    // Source: CNI 1.0: CHECK came with 0.4.0.
    if (network.disableCheck || !isAtLeast(network.cniVersion, 0, 4)) return;
    for (const plugin of network.plugins) await this.#run("CHECK", plugin, attachment, result, signal);
  }

  /** Every plugin in reverse order. Idempotent by the specification; all are asked even when one fails. */
  async del(attachment: Attachment, result: CniResult | undefined, signal?: AbortSignal): Promise<void> {
    const failures: unknown[] = [];
    const previous = isAtLeast(attachment.network.cniVersion, 0, 4) ? result : undefined;
    for (const plugin of attachment.network.plugins.toReversed()) {
      try {
        await this.#run("DEL", plugin, attachment, previous, signal);
      } catch (error) {
        signal?.throwIfAborted();
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  async #run(
    command: CniCommand,
    plugin: PluginConfig,
    attachment: Attachment,
    prevResult: CniResult | undefined,
    signal: AbortSignal | undefined,
  ): Promise<string> {
    const path = await this.#find(command, plugin.type);
    const args = Object.entries(attachment.args).map(([name, value]) => `${name}=${value}`);
    const env = {
      PATH: process.env.PATH ?? "",
      CNI_COMMAND: command,
      CNI_CONTAINERID: attachment.containerId,
      CNI_NETNS: attachment.netns,
      CNI_IFNAME: attachment.ifName,
      CNI_ARGS: args.join(";"),
      CNI_PATH: this.#binDirs.join(":"),
    };
    const input = JSON.stringify(pluginInput(plugin, attachment, prevResult));
    const deadline = AbortSignal.timeout(this.#timeoutMs);
    const joined = signal === undefined ? deadline : AbortSignal.any([signal, deadline]);
    const { code, stdout, stderr } = await runProgram(path, env, input, joined).catch((error: unknown) => {
      signal?.throwIfAborted();
      throw new CniError(command, plugin.type, deadline.aborted ? "timed out" : String(error));
    });
    if (code === 0) return stdout;
    throw pluginError(command, plugin.type, { code, stdout, stderr });
  }

  async #find(command: CniCommand, type: string): Promise<string> {
    for (const directory of this.#binDirs) {
      const path = join(directory, type);
      const there = await access(path, constants.X_OK).then(
        () => true,
        () => false,
      );
      if (there) return path;
    }
    throw new CniError(
      command,
      type,
      `failed to find plugin ${JSON.stringify(type)} in path [${this.#binDirs.join(" ")}]`,
    );
  }
}

interface ProgramResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** An abort kills the plugin. */
function runProgram(path: string, env: NodeJS.ProcessEnv, input: string, signal: AbortSignal): Promise<ProgramResult> {
  const { promise, resolve, reject } = Promise.withResolvers<ProgramResult>();
  const child = spawn(path, { env, signal, killSignal: "SIGKILL", stdio: ["pipe", "pipe", "pipe"] });
  const output = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  child.stdout.on("data", (part: Buffer) => output.stdout.push(part));
  child.stderr.on("data", (part: Buffer) => output.stderr.push(part));
  // A plugin that ends without reading its input has said why in its output.
  child.stdin.on("error", () => undefined);
  child.once("error", reject);
  child.once("close", (code) => {
    resolve({
      code,
      stdout: Buffer.concat(output.stdout).toString(),
      stderr: Buffer.concat(output.stderr).toString(),
    });
  });
  child.stdin.end(input);
  return promise;
}

function parseResult(command: CniCommand, plugin: string, output: string): CniResult {
  try {
    return JSON.parse(output) as CniResult;
  } catch (error) {
    throw new CniError(command, plugin, `its result is no JSON: ${error}`);
  }
}

/** Source: CNI 1.0, "Error": {"code": 7, "msg": "...", "details": "..."} on standard output */
function pluginError(command: CniCommand, plugin: string, result: ProgramResult): CniError {
  let said: { code?: unknown; msg?: unknown; details?: unknown } = {};
  try {
    said = JSON.parse(result.stdout) as typeof said;
  } catch {
    // Not the specification's form: what it wrote is all there is.
  }
  if (typeof said.msg === "string") {
    const details = typeof said.details === "string" && said.details !== "" ? `; ${said.details}` : "";
    return new CniError(
      command,
      plugin,
      `${said.msg}${details}`,
      typeof said.code === "number" ? said.code : undefined,
    );
  }
  const text = (result.stderr || result.stdout).trim();
  return new CniError(command, plugin, text === "" ? `netplugin failed with exit code ${result.code}` : text);
}
