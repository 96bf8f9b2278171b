/** What the kubelet needs of gRPC on Unix sockets. Loaded only when somebody uses it: see lazy-socket.ts. */
import { fileURLToPath } from "node:url";
import {
  type GrpcObject,
  type handleUnaryCall,
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServiceClientConstructor,
  type ServiceError,
  status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { loadSync, type PackageDefinition } from "@grpc/proto-loader";
import { CODE_NAMES } from "@knarr/cri/grpc-codes.ts";
import type { ConnectionTaker } from "./lazy-socket.ts";

/** `url` of the .proto file. Field names become lower camel case; absent fields have their defaults. */
export function loadProto(url: URL): PackageDefinition {
  return loadSync(fileURLToPath(url), { longs: Number, enums: String, defaults: true, oneofs: false, arrays: true });
}

/** "v1beta1", "DevicePlugin" */
export function serviceClass(
  definition: PackageDefinition,
  packageName: string,
  service: string,
): ServiceClientConstructor {
  const found = (loadPackageDefinition(definition)[packageName] as GrpcObject)[service];
  return found as ServiceClientConstructor;
}

/** Methods throw GrpcFailure, or anything else, which the caller sees as Unknown with the message. */
export class GrpcFailure extends Error {
  readonly code: number;
  constructor(code: keyof typeof status, message: string) {
    super(message);
    this.code = status[code];
  }
}

type Method = (request: never) => Promise<object>;

/** Answers on connections that are handed in. */
export function grpcServer(
  service: ServiceClientConstructor,
  methods: Readonly<Record<string, Method>>,
): ConnectionTaker {
  const server = new Server();
  const implementation: UntypedServiceImplementation = {};
  for (const [name, method] of Object.entries(methods)) {
    const handle: handleUnaryCall<unknown, object> = (call, done) => {
      method(call.request as never).then(
        (answer) => done(null, answer),
        (error: unknown) => {
          const details = error instanceof Error ? error.message : String(error);
          done({ code: error instanceof GrpcFailure ? error.code : status.UNKNOWN, details });
        },
      );
    };
    implementation[name] = handle;
  }
  server.addService(service.service, implementation);
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  return {
    take: (socket) => injector.injectConnection(socket),
    close: () => {
      injector.destroy();
      server.forceShutdown();
    },
  };
}

/** An error of a call as Go's clients write it: people look for that text. */
export function goRpcError(error: unknown): string {
  const { code, details } = error as Partial<ServiceError>;
  if (code === undefined) return error instanceof Error ? error.message : String(error);
  const desc = code === status.DEADLINE_EXCEEDED ? "context deadline exceeded" : (details ?? "");
  return `rpc error: code = ${CODE_NAMES[code] ?? code} desc = ${desc}`;
}
