/** Asks a plugin who it is, and tells it what became of its registration. Source: k8s.io/kubelet pluginregistration/v1 */
import type { ServiceDefinition } from "@grpc/grpc-js";
import { loadProto } from "../grpc/grpc-service.ts";
import { UnaryClient } from "../grpc/unary-client.ts";
import type { PluginInfo } from "./plugin-watcher.ts";

const proto = loadProto(new URL("./generated/plugin-registration-v1.proto", import.meta.url));
const service = proto["pluginregistration.Registration"] as ServiceDefinition;

/** Source: pkg/kubelet/pluginmanager/operationexecutor */
const INFO_TIMEOUT_MS = 10_000;
const NOTIFY_TIMEOUT_MS = 5_000;

export class RegistrationClient {
  readonly #client: UnaryClient;

  /** `path` of the plugin's socket in the folder that is watched. */
  constructor(path: string) {
    this.#client = new UnaryClient(path, service);
  }

  /** Throws RpcError. */
  async info(signal: AbortSignal): Promise<PluginInfo> {
    return (await this.#client.call("GetInfo", {}, INFO_TIMEOUT_MS, signal)) as PluginInfo;
  }

  /** `error` "" for a plugin that is registered. Throws RpcError. */
  async notify(error: string, signal: AbortSignal): Promise<void> {
    await this.#client.call(
      "NotifyRegistrationStatus",
      { pluginRegistered: error === "", error },
      NOTIFY_TIMEOUT_MS,
      signal,
    );
  }

  close(): void {
    this.#client.close();
  }
}
