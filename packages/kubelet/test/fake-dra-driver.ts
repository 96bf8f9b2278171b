/** A DRA driver as its authors write them: it registers by a socket in plugins_registry and prepares claims at another. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { Server, ServerCredentials, type ServiceDefinition, type UntypedServiceImplementation } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const proto = (path: string) => loadSync(new URL(path, import.meta.url).pathname);
const registration = proto("../src/plugins/generated/plugin-registration-v1.proto")["pluginregistration.Registration"];
const plugin = proto("../src/claims/generated/dra-v1.proto")["k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin"];

interface Asked {
  readonly request: { readonly claims: readonly { readonly uid: string; readonly name: string }[] };
}
type Done = (error: null, answer: object) => void;

export interface FakeDriverOptions {
  /** The kubelet's root folder. */
  readonly rootDir: string;
  readonly name: string;
  /** Of a claim: CDI devices, or why it can't be had. */
  readonly prepare: (claim: string) => readonly string[] | Error;
}

export class FakeDriver {
  readonly #options: FakeDriverOptions;
  #servers: Server[] = [];
  /** "prepare NAME", "unprepare NAME" and what the kubelet told of the registration, in order. */
  readonly calls: string[] = [];

  constructor(options: FakeDriverOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { rootDir, name } = this.#options;
    const endpoint = join(rootDir, `${name}.sock`);
    const info = { type: "DRAPlugin", name, endpoint, supportedVersions: ["v1.DRAPlugin"] };
    await this.#serve(endpoint, plugin as ServiceDefinition, {
      NodePrepareResources: ({ request }: Asked, done: Done) => {
        const answers = request.claims.map((claim) => [claim.uid, this.#prepare(claim.name)]);
        done(null, { claims: Object.fromEntries(answers) });
      },
      NodeUnprepareResources: ({ request }: Asked, done: Done) => {
        for (const claim of request.claims) this.calls.push(`unprepare ${claim.name}`);
        done(null, { claims: Object.fromEntries(request.claims.map(({ uid }) => [uid, {}])) });
      },
    });
    await this.#serve(join(rootDir, "plugins_registry", `${name}-reg.sock`), registration as ServiceDefinition, {
      GetInfo: (_: object, done: Done) => done(null, info),
      NotifyRegistrationStatus: (
        { request }: { request: { pluginRegistered?: boolean; error?: string } },
        done: Done,
      ) => {
        this.calls.push(request.pluginRegistered === true ? "registered" : `refused: ${request.error}`);
        done(null, {});
      },
    });
  }

  #prepare(name: string): object {
    this.calls.push(`prepare ${name}`);
    const given = this.#options.prepare(name);
    if (given instanceof Error) return { error: given.message };
    return { devices: given.map((id) => ({ poolName: "pool", deviceName: name, cdiDeviceIds: [id] })) };
  }

  async #serve(path: string, service: ServiceDefinition, methods: UntypedServiceImplementation): Promise<void> {
    const server = new Server();
    this.#servers.push(server);
    server.addService(service, methods);
    await rm(path, { force: true });
    await new Promise<void>((resolve, reject) => {
      const bound = (error: Error | null) => (error === null ? resolve() : reject(error));
      server.bindAsync(`unix://${path}`, ServerCredentials.createInsecure(), bound);
    });
  }

  /** As if its process were killed and its sockets cleared away. */
  async stop(): Promise<void> {
    for (const server of this.#servers) server.forceShutdown();
    this.#servers = [];
    const { rootDir, name } = this.#options;
    await rm(join(rootDir, "plugins_registry", `${name}-reg.sock`), { force: true });
  }
}
