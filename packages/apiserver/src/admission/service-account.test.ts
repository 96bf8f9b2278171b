import assert from "node:assert/strict";
import { test } from "node:test";
import { core } from "@knarr/api/generated/resources.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { admitWith } from "./fake-admission.ts";
import { serviceAccount } from "./service-account.ts";

// biome-ignore lint/suspicious/noExplicitAny: pods of every shape
type Any = any;
const pod = (spec: Any = {}, annotations: Any = {}): KubeObject =>
  ({ metadata: { name: "p", annotations }, spec: { containers: [{ name: "c", image: "i" }], ...spec } }) as KubeObject;
const account = (name: string, more: Any = {}, annotations: Any = {}) =>
  [core.serviceaccounts, { metadata: { name, namespace: "ns", annotations }, ...more } as KubeObject] as const;
const admit = (object: KubeObject, ...existing: ReturnType<typeof account>[]) =>
  admitWith(serviceAccount, { ref: core.pods, object }, existing);

test("serviceAccount gives the default account, its pull secrets, and the token's volume in every container", async () => {
  const given = pod({ initContainers: [{ name: "i" }] });
  const { object } = await admit(given, account("default", { imagePullSecrets: [{ name: "pull" }] }));
  const { spec } = object as Any;
  assert.equal(spec.serviceAccountName, "default");
  assert.deepEqual(spec.imagePullSecrets, [{ name: "pull" }]);
  assert.match(spec.volumes[0].name, /^kube-api-access-[a-z0-9]{5}$/);
  for (const container of [...spec.containers, ...spec.initContainers]) {
    assert.equal(container.volumeMounts[0].mountPath, "/var/run/secrets/kubernetes.io/serviceaccount");
  }
});

test("serviceAccount mounts nothing when account or pod say so, the pod first", async () => {
  const off = { automountServiceAccountToken: false };
  const volumes = async (spec: Any, more: Any) =>
    ((await admit(pod(spec), account("default", more))).object as Any).spec.volumes;
  assert.equal(await volumes({}, off), undefined);
  assert.equal(await volumes(off, {}), undefined);
  assert.equal((await volumes({ automountServiceAccountToken: true }, off)).length, 1);
});

test("serviceAccount refuses an account that is not there", async () => {
  const { refusal } = await admit(pod({ serviceAccountName: "ghost" }));
  assert.equal(
    refusal,
    'pods "p" is forbidden: error looking up service account ns/ghost: serviceaccount "ghost" not found',
  );
});

const MIRROR = { "kubernetes.io/config.mirror": "x" };
const ENFORCE = { "kubernetes.io/enforce-mountable-secrets": "true" };
const strict = account("default", { secrets: [{ name: "listed" }] }, ENFORCE);
const environment = (name: string) => [{ name: "E", valueFrom: { secretKeyRef: { name, key: "k" } } }];
for (const [name, object, want] of [
  [
    "a mirror pod with an account",
    pod({ serviceAccountName: "a" }, MIRROR),
    /a mirror pod may not reference service accounts$/,
  ],
  ["a mirror pod with a pull secret", pod({ imagePullSecrets: [{ name: "s" }] }, MIRROR), /may not reference secrets$/],
  [
    "a volume with a Secret that is not listed",
    pod({ volumes: [{ name: "v", secret: { secretName: "other" } }] }),
    /volume with secret.secretName="other" is not allowed because service account default does not reference that secret$/,
  ],
  [
    "a variable from a Secret that is not listed",
    pod({ containers: [{ name: "c", env: environment("other") }] }),
    /^pods "p" is forbidden: container c with envVar E referencing secret.secretName="other" is not allowed/,
  ],
  [
    "a pull secret that is not listed",
    pod({ imagePullSecrets: [{ name: "listed" }] }),
    /imagePullSecrets\[0\].name="listed" is not allowed .* does not reference that imagePullSecret$/,
  ],
] as const) {
  test(`serviceAccount refuses ${name}`, async () => assert.match((await admit(object, strict)).refusal ?? "", want));
}

test("serviceAccount admits what a strict account lists", async () => {
  const listed = pod({ containers: [{ name: "c", env: environment("listed") }] });
  assert.equal((await admit(listed, strict)).refusal, undefined);
});
