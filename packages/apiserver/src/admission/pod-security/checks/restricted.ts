/** The checks of the restricted level, by id. Source: k8s.io/pod-security-admission/policy/check_*.go */
import type { Volume } from "@knarr/api/generated/types/core-v1.ts";
import { findSeccomp } from "./baseline.ts";
import {
  type Check,
  containersOf,
  hasOwnUsers,
  isWindows,
  named,
  namesWhere,
  type PodLike,
  plural,
  quoted,
  setters,
  sorted,
  type Violation,
} from "./check.ts";

type Find = (pod: PodLike) => Violation | undefined;
const unlessWindows =
  (find: Find): Find =>
  (pod) =>
    isWindows(pod) ? undefined : find(pod);
const unlessOwnUsers =
  (find: Find): Find =>
  (pod) =>
    hasOwnUsers(pod) ? undefined : find(pod);

const findEscalation: Find = (pod) => {
  const bad = namesWhere(pod, (c) => c.securityContext?.allowPrivilegeEscalation !== false);
  if (bad.length === 0) return undefined;
  return {
    reason: "allowPrivilegeEscalation != false",
    detail: `${named("container", bad)} must set securityContext.allowPrivilegeEscalation=false`,
  };
};
const allowPrivilegeEscalation: Check = {
  id: "allowPrivilegeEscalation",
  level: "restricted",
  versions: [
    { since: 8, find: findEscalation },
    { since: 25, find: unlessWindows(findEscalation) },
  ],
};

const findCapabilities: Find = (pod) => {
  const keeps = namesWhere(pod, (c) => c.securityContext?.capabilities?.drop?.includes("ALL") !== true);
  const extra = (added: readonly string[] = []) => added.filter((name) => name !== "NET_BIND_SERVICE");
  const adds = namesWhere(pod, (c) => extra(c.securityContext?.capabilities?.add).length > 0);
  if (keeps.length === 0 && adds.length === 0) return undefined;
  const added = sorted(containersOf(pod).flatMap((c) => extra(c.securityContext?.capabilities?.add)));
  const details = [
    ...(keeps.length > 0 ? [`${named("container", keeps)} must set securityContext.capabilities.drop=["ALL"]`] : []),
    ...(adds.length > 0
      ? [`${named("container", adds)} must not include ${quoted(added)} in securityContext.capabilities.add`]
      : []),
  ];
  return { reason: "unrestricted capabilities", detail: details.join("; ") };
};
const capabilitiesRestricted: Check = {
  id: "capabilities_restricted",
  level: "restricted",
  overrides: ["capabilities_baseline"],
  versions: [
    { since: 22, find: findCapabilities },
    { since: 25, find: unlessWindows(findCapabilities) },
  ],
};

const ALLOWED_VOLUMES = new Set([
  ...["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim"],
  ...["projected", "secret"],
]);
const restrictedVolumes: Check = {
  id: "restrictedVolumes",
  level: "restricted",
  overrides: ["hostPathVolumes"],
  versions: [
    {
      since: 0,
      find({ spec }) {
        const typeOf = (volume: Volume) =>
          Object.keys(volume).find((key) => key !== "name" && volume[key as keyof Volume] !== undefined) ?? "unknown";
        const bad = (spec.volumes ?? []).filter((volume) => !ALLOWED_VOLUMES.has(typeOf(volume)));
        if (bad.length === 0) return undefined;
        const types = sorted(bad.map(typeOf));
        const names = bad.map((volume) => volume.name);
        const what = plural(types.length, "restricted volume type");
        return {
          reason: "restricted volume types",
          detail: `${named("volume", names)} ${plural(names.length, "uses", "use")} ${what} ${quoted(types)}`,
        };
      },
    },
  ],
};

const findNonRoot: Find = (pod) => {
  const reason = "runAsNonRoot != true";
  const whole = pod.spec.securityContext?.runAsNonRoot;
  const explicit = namesWhere(pod, (c) => c.securityContext?.runAsNonRoot === false);
  if (whole === false || explicit.length > 0) {
    return { reason, detail: `${setters(whole === false, explicit)} must not set securityContext.runAsNonRoot=false` };
  }
  const silent = namesWhere(pod, (c) => c.securityContext?.runAsNonRoot === undefined);
  if (whole === true || silent.length === 0) return undefined;
  return { reason, detail: `pod or ${named("container", silent)} must set securityContext.runAsNonRoot=true` };
};
const runAsNonRoot: Check = {
  id: "runAsNonRoot",
  level: "restricted",
  versions: [
    { since: 0, find: findNonRoot },
    { since: 35, find: unlessOwnUsers(findNonRoot) },
  ],
};

const findRootUser: Find = (pod) => {
  const podSets = pod.spec.securityContext?.runAsUser === 0;
  const bad = namesWhere(pod, (c) => c.securityContext?.runAsUser === 0);
  if (!podSets && bad.length === 0) return undefined;
  return { reason: "runAsUser=0", detail: `${setters(podSets, bad)} must not set runAsUser=0` };
};
const runAsUser: Check = {
  id: "runAsUser",
  level: "restricted",
  versions: [
    { since: 23, find: findRootUser },
    { since: 35, find: unlessOwnUsers(findRootUser) },
  ],
};

const findUnconfined: Find = (pod) => {
  const explicit = findSeccomp(pod);
  if (explicit !== undefined) return explicit;
  if (pod.spec.securityContext?.seccompProfile !== undefined) return undefined;
  const silent = namesWhere(pod, (c) => c.securityContext?.seccompProfile === undefined);
  if (silent.length === 0) return undefined;
  return {
    reason: "seccompProfile",
    detail:
      `pod or ${named("container", silent)} must set securityContext.seccompProfile.type to ` +
      `"RuntimeDefault" or "Localhost"`,
  };
};
const seccompProfileRestricted: Check = {
  id: "seccompProfile_restricted",
  level: "restricted",
  overrides: ["seccompProfile_baseline"],
  versions: [
    { since: 19, find: findUnconfined },
    { since: 25, find: unlessWindows(findUnconfined) },
  ],
};

export const restrictedChecks: readonly Check[] = [
  allowPrivilegeEscalation,
  capabilitiesRestricted,
  restrictedVolumes,
  runAsNonRoot,
  runAsUser,
  seccompProfileRestricted,
];
