/** Each check by what it refuses, from which version on, and in which words. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodSpec } from "@knarr/api/generated/types/core-v1.ts";
import { evaluatePod, showViolations } from "./evaluate.ts";
import type { Level, PolicyVersion } from "./policy-version.ts";

// biome-ignore lint/suspicious/noExplicitAny: pods of every shape
type Any = any;
/** What restricted asks for. */
const GOOD = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ["ALL"] },
  runAsNonRoot: true,
  seccompProfile: { type: "RuntimeDefault" },
};
const container = (securityContext: Any, more: Any = {}) => ({ name: "a", securityContext, ...more });
const spec = (...containers: Any[]) => ({ containers });
const good = (more: Any) => spec(container({ ...GOOD, ...more }));

interface Row {
  readonly level: Exclude<Level, "privileged">;
  readonly version?: PolicyVersion;
  readonly spec: Any;
  readonly annotations?: Record<string, string>;
  readonly want: string;
}

const rows: Row[] = [
  { level: "restricted", spec: good({}), want: "" },
  { level: "baseline", spec: spec(container(undefined)), want: "" },
  {
    level: "restricted",
    spec: spec(container(undefined)),
    want:
      'allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false), ' +
      'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]), ' +
      'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true), ' +
      'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
  },
  {
    level: "restricted",
    version: 18,
    spec: spec(container(undefined)),
    want:
      'allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false), ' +
      'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true)',
  },
  {
    level: "baseline",
    spec: { ...spec(container({ privileged: true })), hostPID: true, hostNetwork: true },
    want: 'host namespaces (hostNetwork=true, hostPID=true), privileged (container "a" must not set securityContext.privileged=true)',
  },
  {
    level: "baseline",
    spec: {
      containers: [container({ capabilities: { add: ["NET_ADMIN", "CHOWN"] } })],
      initContainers: [{ name: "i", securityContext: { capabilities: { add: ["BPF"] } } }],
    },
    want: 'non-default capabilities (containers "i", "a" must not include "BPF", "NET_ADMIN" in securityContext.capabilities.add)',
  },
  {
    level: "restricted",
    spec: good({ capabilities: { drop: ["ALL"], add: ["CHOWN", "NET_BIND_SERVICE"] } }),
    want: 'unrestricted capabilities (container "a" must not include "CHOWN" in securityContext.capabilities.add)',
  },
  {
    level: "baseline",
    spec: {
      ...spec(container(undefined)),
      volumes: [
        { name: "v", hostPath: { path: "/" } },
        { name: "w", hostPath: { path: "/" } },
      ],
    },
    want: 'hostPath volumes (volumes "v", "w")',
  },
  {
    level: "restricted",
    spec: {
      ...good({}),
      volumes: [
        { name: "v", hostPath: { path: "/" } },
        { name: "n", nfs: {} },
        { name: "s", secret: {} },
      ],
    },
    want: 'restricted volume types (volumes "v", "n" use restricted volume types "hostPath", "nfs")',
  },
  {
    level: "baseline",
    spec: spec(container(undefined, { ports: [{ hostPort: 80 }, { containerPort: 1 }] })),
    want: 'hostPort (container "a" uses hostPort 80)',
  },
  {
    level: "baseline",
    spec: spec(container(undefined, { livenessProbe: { httpGet: { host: "192.0.2.1" } } })),
    want: 'probe or lifecycle host (container "a" uses probe or lifecycle host "192.0.2.1")',
  },
  {
    level: "baseline",
    version: 33,
    spec: spec(container(undefined, { livenessProbe: { httpGet: { host: "192.0.2.1" } } })),
    want: "",
  },
  {
    level: "baseline",
    spec: spec(container({ procMount: "Unmasked" })),
    want: 'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
  },
  { level: "baseline", spec: { ...spec(container({ procMount: "Unmasked" })), hostUsers: false }, want: "" },
  {
    level: "baseline",
    spec: {
      ...spec(container({ seLinuxOptions: { type: "b", user: "u" } })),
      securityContext: { seLinuxOptions: { type: "c" } },
    },
    want: 'seLinuxOptions (pod and container "a" set forbidden securityContext.seLinuxOptions: types "b", "c"; user may not be set)',
  },
  { level: "baseline", spec: spec(container({ seLinuxOptions: { type: "container_engine_t" } })), want: "" },
  {
    level: "baseline",
    version: 30,
    spec: spec(container({ seLinuxOptions: { type: "container_engine_t" } })),
    want: 'seLinuxOptions (container "a" set forbidden securityContext.seLinuxOptions: type "container_engine_t")',
  },
  {
    level: "baseline",
    spec: {
      ...spec(container({ seccompProfile: { type: "Unconfined" } })),
      securityContext: { seccompProfile: { type: "Unconfined" } },
    },
    want: 'seccompProfile (pod and container "a" must not set securityContext.seccompProfile.type to "Unconfined")',
  },
  {
    level: "baseline",
    version: 18,
    spec: spec(container(undefined)),
    annotations: { "seccomp.security.alpha.kubernetes.io/pod": "unconfined" },
    want: 'seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined")',
  },
  {
    level: "baseline",
    spec: {
      ...spec(container(undefined)),
      securityContext: { sysctls: [{ name: "kernel.msgmax" }, { name: "net.ipv4.tcp_rmem" }] },
    },
    want: "forbidden sysctl (kernel.msgmax)",
  },
  {
    level: "baseline",
    version: 31,
    spec: {
      ...spec(container(undefined)),
      securityContext: { sysctls: [{ name: "kernel.msgmax" }, { name: "net.ipv4.tcp_rmem" }] },
    },
    want: "forbidden sysctls (kernel.msgmax, net.ipv4.tcp_rmem)",
  },
  {
    level: "baseline",
    spec: {
      ...spec(container({ windowsOptions: { hostProcess: true } })),
      securityContext: { windowsOptions: { hostProcess: true } },
    },
    want: 'hostProcess (pod and container "a" must not set securityContext.windowsOptions.hostProcess=true)',
  },
  {
    level: "baseline",
    spec: spec(container({ appArmorProfile: { type: "Unconfined" } })),
    annotations: { "container.apparmor.security.beta.kubernetes.io/a": "unconfined" },
    want:
      'forbidden AppArmor profiles (container "a" and annotation container.apparmor.security.beta.kubernetes.io/a="unconfined" ' +
      'must not set AppArmor profile type to "Unconfined", "unconfined")',
  },
  {
    level: "restricted",
    spec: { ...good({ runAsNonRoot: false }), securityContext: { runAsNonRoot: true } },
    want: 'runAsNonRoot != true (container "a" must not set securityContext.runAsNonRoot=false)',
  },
  {
    level: "restricted",
    spec: { ...good({ runAsNonRoot: undefined }), securityContext: { runAsNonRoot: true } },
    want: "",
  },
  { level: "restricted", spec: { ...good({ runAsNonRoot: false, runAsUser: 0 }), hostUsers: false }, want: "" },
  {
    level: "restricted",
    spec: { ...good({ runAsUser: 0 }), securityContext: { runAsUser: 0 } },
    want: 'runAsUser=0 (pod and container "a" must not set runAsUser=0)',
  },
  {
    level: "restricted",
    spec: { ...spec(container({ runAsNonRoot: true })), os: { name: "windows" } },
    want: "",
  },
];
for (const { level, version = "latest", spec: podSpec, annotations = {}, want } of rows) {
  test(`evaluatePod() says ${want || "nothing"} at ${level}, ${version}`, () => {
    const pod = { metadata: { annotations }, spec: podSpec as PodSpec };
    assert.equal(showViolations(evaluatePod({ level, version }, pod)), want);
    assert.deepEqual(evaluatePod({ level: "privileged", version }, pod), []);
  });
}

test("evaluatePod() lets restricted refuse whatever baseline refuses", () => {
  for (const { spec: podSpec, annotations = {} } of rows) {
    const pod = { metadata: { annotations }, spec: podSpec as PodSpec };
    const refuses = (level: Level) => evaluatePod({ level, version: "latest" }, pod).length > 0;
    assert.ok(!refuses("baseline") || refuses("restricted"), JSON.stringify(podSpec));
  }
});
