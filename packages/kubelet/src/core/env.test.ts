import assert from "node:assert/strict";
import test from "node:test";
import type { Container, Service } from "@knarr/api/generated/types/core-v1.ts";
import { ContainerConfigError } from "./config-error.ts";
import { computeEnv, type EnvInput } from "./env.ts";
import { expandVariables } from "./expand.ts";
import { container, pod } from "./testing.ts";

const variables = new Map([
  ["A", "x"],
  ["B", "$(A)"],
]);
const expansions: [text: string, want: string][] = [
  ["$(A)", "x"],
  ["$(A)$(A)-$(B)", "xx-$(A)"],
  ["$$(A)", "$(A)"],
  ["$$$(A)", "$x"],
  ["$(NOPE) $A $", "$(NOPE) $A $"],
  ["$(A", "$(A"],
];
for (const [text, want] of expansions) {
  test(`expandVariables() turns ${text} into ${want}`, () => assert.equal(expandVariables(text, variables), want));
}

function env(main: Partial<Container>, more: Partial<EnvInput> = {}): Record<string, string> {
  const list = computeEnv({
    facts: {
      pod: pod(),
      hostIps: ["192.0.2.1"],
      podIps: ["10.0.0.2", "fd00::2"],
      allocatable: { cpu: "4", memory: "8Gi" },
    },
    container: container("main", main),
    configMap: (name) => (name === "cm" ? { metadata: {}, data: { k: "v", PLAIN: "from cm" } } : undefined),
    secret: (name) => (name === "sec" ? { metadata: {}, data: { s: "aMOl" } } : undefined),
    services: [],
    ...more,
  });
  return Object.fromEntries(list.map(({ key, value }) => [key, value]));
}

test("computeEnv() lets env override envFrom, and later values use earlier ones", () => {
  const got = env({
    envFrom: [{ configMapRef: { name: "cm" } }, { prefix: "S_", secretRef: { name: "sec" } }],
    env: [
      { name: "PLAIN", value: "own" },
      { name: "USED", value: "$(PLAIN) $(k) $(S_s) $(LATER)" },
      { name: "LATER", value: "l" },
    ],
  });
  assert.deepEqual(got, { k: "v", PLAIN: "own", S_s: "hå", USED: "own v hå $(LATER)", LATER: "l" });
});

test("computeEnv() takes limits that the container does not set from the node, rounded up to the divisor", () => {
  const from = (resource: string, divisor?: string) => ({
    resourceFieldRef: { resource, ...(divisor === undefined ? {} : { divisor }) },
  });
  const got = env({
    env: [
      { name: "CPU", valueFrom: from("limits.cpu") },
      { name: "MEM", valueFrom: from("limits.memory", "1Gi") },
      { name: "REQ", valueFrom: from("requests.cpu", "1m") },
    ],
    resources: { requests: { cpu: "1500u" } },
  });
  assert.deepEqual(got, { CPU: "4", MEM: "8", REQ: "2" });
});

const missing: { name: string; main: Partial<Container>; want: string | undefined }[] = [
  {
    name: "configMap key",
    main: { env: [{ name: "X", valueFrom: { configMapKeyRef: { name: "cm", key: "no" } } }] },
    want: "couldn't find key no in ConfigMap ns/cm",
  },
  {
    name: "secret",
    main: { env: [{ name: "X", valueFrom: { secretKeyRef: { name: "no", key: "k" } } }] },
    want: 'secret "no" not found',
  },
  {
    name: "configMap of envFrom",
    main: { envFrom: [{ configMapRef: { name: "no" } }] },
    want: 'configmap "no" not found',
  },
  {
    name: "optional key",
    main: { env: [{ name: "X", valueFrom: { configMapKeyRef: { name: "no", key: "k", optional: true } } }] },
    want: undefined,
  },
];
for (const { name, main, want } of missing) {
  test(`computeEnv() ${want === undefined ? "leaves out" : "refuses"} a missing ${name}`, () => {
    if (want === undefined) assert.deepEqual(env(main), {});
    else assert.throws(() => env(main), new ContainerConfigError(want));
  });
}

const service = (namespace: string, name: string, clusterIP: string): Service => ({
  metadata: { namespace, name },
  spec: { clusterIP, ports: [{ name: "web-ui", port: 80, protocol: "TCP" }] },
});

test("computeEnv() names the Services of the namespace and the API server, and no headless ones", () => {
  const services = [
    service("ns", "my-svc", "10.0.0.9"),
    service("ns", "none", "None"),
    service("other", "far", "10.0.0.8"),
    service("default", "kubernetes", "10.96.0.1"),
  ];
  const got = env({}, { services });
  assert.deepEqual(
    Object.keys(got)
      .filter((k) => k.startsWith("MY_SVC"))
      .toSorted(),
    [
      "MY_SVC_PORT",
      "MY_SVC_PORT_80_TCP",
      "MY_SVC_PORT_80_TCP_ADDR",
      "MY_SVC_PORT_80_TCP_PORT",
      "MY_SVC_PORT_80_TCP_PROTO",
      "MY_SVC_SERVICE_HOST",
      "MY_SVC_SERVICE_PORT",
      "MY_SVC_SERVICE_PORT_WEB_UI",
    ],
  );
  assert.equal(got.MY_SVC_PORT, "tcp://10.0.0.9:80");
  assert.equal(got.KUBERNETES_SERVICE_HOST, "10.96.0.1");
  assert.ok(!Object.keys(got).some((k) => /^(NONE|FAR)_/.test(k)));
});
