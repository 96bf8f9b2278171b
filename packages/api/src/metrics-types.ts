/**
 * The types of metrics.k8s.io/v1beta1, written by hand: their Go source is not among those the generator reads.
 * Source: k8s.io/metrics/pkg/apis/metrics/v1beta1 types.go and generated.proto
 */
import type { ObjectMeta } from "@knarr/apimachinery/generated/meta-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import type { TableSource } from "./generated/tables/index.ts";

/** "cpu" and "memory", as quantities. */
export type Usage = Readonly<Record<string, string>>;

export interface NodeMetrics extends KubeObject {
  readonly metadata: ObjectMeta;
  /** The end of the interval [timestamp - window, timestamp] that the usage was measured in. */
  readonly timestamp: string;
  readonly window: string;
  readonly usage: Usage;
}

export interface ContainerMetrics {
  readonly name: string;
  readonly usage: Usage;
}

export interface PodMetrics extends KubeObject {
  readonly metadata: ObjectMeta;
  readonly timestamp: string;
  readonly window: string;
  readonly containers: readonly ContainerMetrics[];
}

const GROUP = "metrics.k8s.io";
const VERSION = "v1beta1";

export const metrics = {
  nodes: {
    group: GROUP,
    version: VERSION,
    resource: "nodes",
    kind: "NodeMetrics",
    namespaced: false,
  } as ResourceRef<NodeMetrics>,
  pods: {
    group: GROUP,
    version: VERSION,
    resource: "pods",
    kind: "PodMetrics",
    namespaced: true,
  } as ResourceRef<PodMetrics>,
};

const text = `{"structs":{
"ContainerMetrics":{"name":["string",1,"r"],"usage":["core/v1.ResourceList",2,"r"]},
"NodeMetrics":{"":{"k":1},"metadata":["meta/v1.ObjectMeta",1,"e"],"timestamp":["meta/v1.Time",2,"r"],"usage":["core/v1.ResourceList",4,"r"],"window":["meta/v1.Duration",3,"r"]},
"NodeMetricsList":{"":{"k":1},"items":["[]NodeMetrics",2,"r"],"metadata":["meta/v1.ListMeta",1,"e"]},
"PodMetrics":{"":{"k":1},"containers":["[]ContainerMetrics",4,"r"],"metadata":["meta/v1.ObjectMeta",1,"e"],"timestamp":["meta/v1.Time",2,"r"],"window":["meta/v1.Duration",3,"r"]},
"PodMetricsList":{"":{"k":1},"items":["[]PodMetrics",2,"r"],"metadata":["meta/v1.ListMeta",1,"e"]}
},"named":{}}`;

/** The field table, in the generator's form. */
export const metricsTable: TableSource = {
  group: GROUP,
  version: VERSION,
  openApiPrefix: "io.k8s.metrics.pkg.apis.metrics.v1beta1",
  text,
};
