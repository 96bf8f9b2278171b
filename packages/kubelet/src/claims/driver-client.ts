/** The calls to one DRA driver on this node. Loads gRPC: imported with the first driver. Source: k8s.io/kubelet dra/v1, dra/v1beta1 */
import type { ServiceDefinition } from "@grpc/grpc-js";
import { loadProto } from "../grpc/grpc-service.ts";
import { UnaryClient } from "../grpc/unary-client.ts";
import type { ClaimRef, PreparedDevice } from "./claim-book.ts";
import type { Driver, DriverAnswer } from "./drivers.ts";

const proto = loadProto(new URL("./generated/dra-v1.proto", import.meta.url));
const service = proto["k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin"] as ServiceDefinition;

/** Source: pkg/kubelet/cm/dra/plugin, defaultClientCallTimeout */
const CALL_TIMEOUT_MS = 45_000;

interface WireAnswer {
  readonly claims: Readonly<Record<string, { readonly devices?: readonly PreparedDevice[]; readonly error: string }>>;
}

/** The service as of a version; the messages are the same in all. */
function serviceOf(version: string): ServiceDefinition {
  const methods = Object.entries(service).map(([name, method]) => [
    name,
    { ...method, path: method.path.replace(".dra.v1.", `.dra.${version}.`) },
  ]);
  return Object.fromEntries(methods) as ServiceDefinition;
}

export class DriverClient implements Driver {
  readonly endpoint: string;
  readonly #client: UnaryClient;

  /** `version` is "v1" or "v1beta1". */
  constructor(endpoint: string, version: string) {
    this.endpoint = endpoint;
    this.#client = new UnaryClient(endpoint, serviceOf(version));
  }

  prepare(claims: readonly ClaimRef[], signal: AbortSignal): Promise<DriverAnswer> {
    return this.#call("NodePrepareResources", claims, signal);
  }

  unprepare(claims: readonly ClaimRef[], signal: AbortSignal): Promise<DriverAnswer> {
    return this.#call("NodeUnprepareResources", claims, signal);
  }

  close(): void {
    this.#client.close();
  }

  async #call(method: string, claims: readonly ClaimRef[], signal: AbortSignal): Promise<DriverAnswer> {
    const request = { claims: claims.map(({ namespace, name, uid }) => ({ namespace, name, uid })) };
    const answer = (await this.#client.call(method, request, CALL_TIMEOUT_MS, signal)) as WireAnswer;
    return new Map(
      Object.entries(answer.claims).map(([uid, { devices = [], error }]) => [
        uid,
        { error, devices: devices.map(deviceOf) },
      ]),
    );
  }
}

/** Without what the codec adds. */
function deviceOf({ poolName, deviceName, requestNames, cdiDeviceIds }: PreparedDevice): PreparedDevice {
  return { poolName, deviceName, requestNames, cdiDeviceIds };
}
