/** A device plugin as its authors write them: a gRPC server at a socket of its own, which registers with the kubelet. */
import { join } from "node:path";
import {
  credentials,
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServiceClientConstructor,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

type Callback = (error: { code: number; details: string } | null, answer?: object) => void;

export interface FakeDevice {
  readonly ID: string;
  readonly health: "Healthy" | "Unhealthy";
}

export interface FakePluginOptions {
  /** The kubelet's device-plugins folder. */
  readonly directory: string;
  readonly resource: string;
  readonly answer?: (ids: readonly string[]) => object;
  readonly preferred?: (available: readonly string[], size: number) => readonly string[];
  /** Whether it leaves Allocate without an answer. */
  readonly hangs?: () => boolean;
  readonly onPreStart?: (ids: readonly string[]) => void;
}

const PROTO = new URL("../src/devices/generated/device-plugin-v1beta1.proto", import.meta.url).pathname;

function service(name: string): ServiceClientConstructor {
  const loaded = loadPackageDefinition(loadSync(PROTO)).v1beta1 as Record<string, ServiceClientConstructor>;
  return loaded[name] as ServiceClientConstructor;
}

/** One call to a service of the kubelet's. */
function call(made: ServiceClientConstructor, socket: string, method: string, request: object): Promise<unknown> {
  const client = new made(`unix://${socket}`, credentials.createInsecure());
  return new Promise<unknown>((resolve, reject) => {
    const rpc = client[method] as (request: object, done: (error: Error | null, answer: unknown) => void) => void;
    rpc.call(client, request, (error, answer) => (error === null ? resolve(answer) : reject(error)));
  }).finally(() => client.close());
}

/** Registers and resolves, or rejects with what the kubelet said. */
export async function register(directory: string, request: object): Promise<void> {
  await call(service("Registration"), join(directory, "kubelet.sock"), "register", request);
}

/** As a monitoring agent asks. */
export function podResources(socket: string, method: string, request: object = {}): Promise<unknown> {
  const path = new URL("../src/pod-resources/generated/pod-resources-v1.proto", import.meta.url).pathname;
  const loaded = loadPackageDefinition(loadSync(path, { defaults: true, arrays: true, longs: Number })).v1;
  const { PodResourcesLister } = loaded as unknown as Record<string, ServiceClientConstructor>;
  return call(PodResourcesLister as ServiceClientConstructor, socket, method, request);
}

export class FakePlugin {
  readonly #options: FakePluginOptions;
  readonly #server = new Server();
  readonly #streams = new Set<{ write(message: object): void; end(): void }>();
  #devices: readonly FakeDevice[];
  readonly allocated: string[][] = [];

  private constructor(options: FakePluginOptions, devices: readonly FakeDevice[]) {
    this.#options = options;
    this.#devices = devices;
  }

  get endpoint(): string {
    return `${this.#options.resource.replaceAll("/", "-")}.sock`;
  }

  /** Listens; `register()` is the caller's. */
  static async start(options: FakePluginOptions, devices: readonly FakeDevice[]): Promise<FakePlugin> {
    const plugin = new FakePlugin(options, devices);
    plugin.#server.addService(service("DevicePlugin").service, plugin.#methods());
    await new Promise<void>((resolve, reject) => {
      const address = `unix://${join(options.directory, plugin.endpoint)}`;
      plugin.#server.bindAsync(address, ServerCredentials.createInsecure(), (error) =>
        error === null ? resolve() : reject(error),
      );
    });
    return plugin;
  }

  #methods() {
    const { answer, hangs, preferred, onPreStart } = this.#options;
    type Ids = { devicesIds: string[] };
    return {
      getDevicePluginOptions: (_: object, done: Callback) =>
        done(null, {
          preStartRequired: onPreStart !== undefined,
          getPreferredAllocationAvailable: preferred !== undefined,
        }),
      listAndWatch: (call: { write(message: object): void; end(): void; on(event: string, fn: () => void): void }) => {
        this.#streams.add(call);
        call.on("cancelled", () => this.#streams.delete(call));
        call.write({ devices: this.#devices });
      },
      allocate: ({ request }: { request: { containerRequests: Ids[] } }, done: Callback) => {
        const ids = request.containerRequests[0]?.devicesIds ?? [];
        if (hangs?.() === true) return;
        this.allocated.push(ids);
        try {
          done(null, { containerResponses: [answer?.(ids) ?? {}] });
        } catch (error) {
          done({ code: 2, details: (error as Error).message });
        }
      },
      getPreferredAllocation: (
        call: { request: { containerRequests: { availableDeviceIDs: string[]; allocationSize: number }[] } },
        done: Callback,
      ) => {
        const [asked] = call.request.containerRequests;
        const deviceIDs = preferred?.(asked?.availableDeviceIDs ?? [], asked?.allocationSize ?? 0) ?? [];
        done(null, { containerResponses: [{ deviceIDs }] });
      },
      preStartContainer: ({ request }: { request: Ids }, done: Callback) => {
        onPreStart?.(request.devicesIds);
        done(null, {});
      },
    };
  }

  async register(): Promise<void> {
    const { directory, resource } = this.#options;
    await register(directory, { version: "v1beta1", endpoint: this.endpoint, resourceName: resource });
  }

  tell(devices: readonly FakeDevice[]): void {
    this.#devices = devices;
    for (const stream of this.#streams) stream.write({ devices });
  }

  get streams(): number {
    return this.#streams.size;
  }

  endStreams(): void {
    for (const stream of this.#streams) stream.end();
    this.#streams.clear();
  }

  /** As if its process were killed. */
  kill(): void {
    this.#server.forceShutdown();
  }
}
