/**
 * The calls to one device plugin, at its socket, and the protobuf form of what it answers. Loaded with the first plugin
 * (or the first checkpoint that names one). Holds a connection and no state.
 */
import { credentials, type Client as GrpcClient } from "@grpc/grpc-js";
import type { MessageTypeDefinition } from "@grpc/proto-loader";
import { goRpcError, grpcServer, loadProto, serviceClass } from "../grpc/grpc-service.ts";
import type { ConnectionTaker } from "../grpc/lazy-socket.ts";
import { RpcError } from "../grpc/rpc-error.ts";
import { callUnary, RECONNECT } from "../grpc/unary-client.ts";
import type { AllocateAnswer, Device, PluginOptions } from "./device-types.ts";

const PACKAGE = "v1beta1";
const definition = loadProto(new URL("./generated/device-plugin-v1beta1.proto", import.meta.url));
const DevicePlugin = serviceClass(definition, PACKAGE, "DevicePlugin");
const Registration = serviceClass(definition, PACKAGE, "Registration");
const answerType = definition[`${PACKAGE}.ContainerAllocateResponse`] as MessageTypeDefinition<object, AllocateAnswer>;

export function encodeAnswer(answer: AllocateAnswer): Uint8Array {
  return answerType.serialize(answer);
}

/** Throws when the bytes are no such message. */
export function decodeAnswer(bytes: Uint8Array): AllocateAnswer {
  return answerType.deserialize(Buffer.from(bytes));
}

export interface RegisterRequest {
  readonly version: string;
  readonly endpoint: string;
  readonly resourceName: string;
}

export function registrationServer(register: (request: RegisterRequest) => Promise<void>): ConnectionTaker {
  return grpcServer(Registration, {
    register: async (request: RegisterRequest) => {
      await register(request);
      return {};
    },
  });
}

interface WireDevice {
  readonly ID: string;
  readonly health: string;
  readonly topology: { readonly nodes: readonly { readonly ID: number }[] } | null;
}

interface DeviceStream extends AsyncIterable<{ readonly devices: readonly WireDevice[] }> {
  cancel(): void;
}

function deviceOf({ ID, health, topology }: WireDevice): Device {
  return { id: ID, healthy: health === "Healthy", numaNodes: (topology?.nodes ?? []).map((node) => node.ID) };
}

export class PluginClient {
  readonly #client: GrpcClient;

  /** `path` of the plugin's socket; connects with the first call. */
  constructor(path: string) {
    this.#client = new DevicePlugin(`unix://${path}`, credentials.createInsecure(), RECONNECT);
  }

  /** Resolves when the plugin's socket takes connections. Throws RpcError. */
  connect(timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#client.waitForReady(Date.now() + timeoutMs, (error) => {
        if (error === undefined || error === null) resolve();
        else reject(new RpcError("failed to dial device plugin: context deadline exceeded", { cause: error }));
      });
    });
  }

  async options(timeoutMs: number): Promise<PluginOptions> {
    return (await this.#call("getDevicePluginOptions", {}, timeoutMs)) as PluginOptions;
  }

  /** Undefined when the plugin answers for no container. */
  async allocate(devicesIds: readonly string[], timeoutMs: number): Promise<AllocateAnswer | undefined> {
    const request = { containerRequests: [{ devicesIds }] };
    const answer = (await this.#call("allocate", request, timeoutMs)) as {
      readonly containerResponses: readonly AllocateAnswer[];
    };
    return answer.containerResponses[0];
  }

  async preferred(
    available: readonly string[],
    mustInclude: readonly string[],
    size: number,
    timeoutMs: number,
  ): Promise<readonly string[]> {
    const asked = { availableDeviceIDs: available, mustIncludeDeviceIDs: mustInclude, allocationSize: size };
    const answer = (await this.#call("getPreferredAllocation", { containerRequests: [asked] }, timeoutMs)) as {
      readonly containerResponses: readonly { readonly deviceIDs: readonly string[] }[];
    };
    return answer.containerResponses[0]?.deviceIDs ?? [];
  }

  async preStart(devicesIds: readonly string[], timeoutMs: number): Promise<void> {
    await this.#call("preStartContainer", { devicesIds }, timeoutMs);
  }

  /** Every state of the devices that the plugin tells, until it ends the stream; throws RpcError when that breaks. */
  async *watch(signal: AbortSignal): AsyncGenerator<readonly Device[]> {
    if (signal.aborted) return;
    const method = (this.#client as unknown as Record<string, (request: object) => DeviceStream>).listAndWatch;
    const stream = method?.call(this.#client, {});
    if (stream === undefined) return;
    const onAbort = () => stream.cancel();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      for await (const { devices } of stream) yield devices.map(deviceOf);
    } catch (cause) {
      if (!signal.aborted) throw new RpcError(goRpcError(cause), { cause });
    } finally {
      signal.removeEventListener("abort", onAbort);
      stream.cancel();
    }
  }

  #call(method: string, request: object, timeoutMs: number): Promise<unknown> {
    return callUnary(this.#client, method, request, { timeoutMs });
  }

  close(): void {
    this.#client.close();
  }
}
