import { discovery } from "@knarr/api/generated/resources.ts";
import type { Service } from "@knarr/api/generated/types/core-v1.ts";
import { type Line, pairs, renderLines } from "../core/lines.ts";
import { metadataLines } from "./generic.ts";
import type { DescribeContext } from "./index.ts";

export async function describeService(service: Service, context: DescribeContext): Promise<string> {
  const { spec } = service;
  const { items } = await context.client.list(discovery.endpointslices, {
    ...(service.metadata.namespace === undefined ? {} : { namespace: service.metadata.namespace }),
    labelSelector: `kubernetes.io/service-name=${service.metadata.name}`,
    signal: context.signal,
  });
  const endpointsOf = (portName: string | undefined): string[] =>
    items.flatMap((slice) => {
      const port = slice.ports?.find((p) => (p.name ?? "") === (portName ?? ""))?.port;
      const ready = (slice.endpoints ?? []).filter((endpoint) => endpoint.conditions?.ready !== false);
      return ready.flatMap((endpoint) => endpoint.addresses.map((address) => `${address}:${port ?? ""}`));
    });
  const ports = (spec?.ports ?? []).flatMap((port): Line[] => {
    const name = port.name === undefined || port.name === "" ? "<unset>" : port.name;
    const protocol = port.protocol ?? "TCP";
    return [
      ["Port", `${name}  ${port.port}/${protocol}`],
      ["TargetPort", `${port.targetPort ?? port.port}/${protocol}`],
      ...(port.nodePort === undefined ? [] : [["NodePort", `${name}  ${port.nodePort}/${protocol}`] as const]),
      ["Endpoints", endpointsOf(port.name).join(",")],
    ];
  });
  return renderLines([
    ...metadataLines(service),
    ["Selector", pairs(spec?.selector).join(",") || "<none>"],
    ["Type", spec?.type],
    ["IP Family Policy", spec?.ipFamilyPolicy],
    ["IP Families", (spec?.ipFamilies ?? []).join(",") || "<none>"],
    ["IP", spec?.clusterIP],
    ["IPs", (spec?.clusterIPs ?? []).join(",") || "<none>"],
    ...(spec?.externalName === undefined ? [] : [["External Name", spec.externalName] as const]),
    ...ports,
    ["Session Affinity", spec?.sessionAffinity],
    ...(spec?.externalTrafficPolicy === undefined
      ? []
      : [["External Traffic Policy", spec.externalTrafficPolicy] as const]),
    ["Internal Traffic Policy", spec?.internalTrafficPolicy],
  ]);
}
