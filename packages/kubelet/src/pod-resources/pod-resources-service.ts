/** The gRPC side of the pod-resources API. Loaded with the first caller. */
import { TokenBucket } from "@knarr/daemon/token-bucket.ts";
import { GrpcFailure, grpcServer, loadProto, serviceClass } from "../grpc/grpc-service.ts";
import type { ConnectionTaker } from "../grpc/lazy-socket.ts";
import { allocatableDevices, podResources, type ResourceHolders } from "./pod-resources.ts";
import type { PodResourcesSource } from "./run-pod-resources.ts";

/** Source: pkg/kubelet/apis/podresources/constants.go */
const CALLS_PER_SECOND = 100;
const BURST = 10;

const definition = loadProto(new URL("./generated/pod-resources-v1.proto", import.meta.url));
const PodResourcesLister = serviceClass(definition, "v1", "PodResourcesLister");

interface GetRequest {
  readonly podName: string;
  readonly podNamespace: string;
}

export function podResourcesService({ pods, devices, cpus, clock }: PodResourcesSource): ConnectionTaker {
  const holders: ResourceHolders = {
    grantsOf: (uid, container) => devices.grantsOf(uid, container),
    cpusOf: (uid, container) => cpus.cpusOf(uid, container),
  };
  const bucket = new TokenBucket({ perSecond: CALLS_PER_SECOND, burst: BURST });
  const limited = <Request>(answer: (request: Request) => object) => {
    return async (request: Request) => {
      if (!bucket.tryTake(clock.monotonicMs())) throw new GrpcFailure("RESOURCE_EXHAUSTED", "rejected by rate limit");
      return answer(request);
    };
  };
  return grpcServer(PodResourcesLister, {
    list: limited(() => ({ podResources: pods().map((pod) => podResources(pod, holders)) })),
    getAllocatableResources: limited(() => ({
      devices: allocatableDevices(devices.healthyDevices()),
      cpuIds: cpus.allocatable(),
    })),
    get: limited(({ podName, podNamespace }: GetRequest) => {
      const pod = pods().find(({ metadata }) => metadata.name === podName && metadata.namespace === podNamespace);
      if (pod === undefined) throw new Error(`pod ${podName} in namespace ${podNamespace} not found`);
      return { podResources: podResources(pod, holders) };
    }),
  });
}
