/** Bad input gets one clear error that names each field, and nothing is stored. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parse, stringify } from "yaml";
import { kubeconfig, kubectl, kubectls, tryKnarr, tryKubectl } from "./lib/cluster.ts";

const deployment = (change: (d: Record<string, never>) => void): string => {
  const object = {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "bad", namespace: "default" },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: "bad" } },
      template: {
        metadata: { labels: { app: "bad" } },
        spec: {
          containers: [
            { name: "c", image: "x", ports: [{ containerPort: 80 }], resources: { requests: { cpu: "1" } } },
          ],
        },
      },
    },
  };
  change(object as never);
  return stringify(object);
};
// biome-ignore lint/suspicious/noExplicitAny: rows break the manifest on purpose
const rows: { name: string; change: (d: any) => void; want: RegExp[] }[] = [
  {
    name: "a field is unknown",
    change: (d) => {
      d.spec.replica = 1;
    },
    want: [/unknown field "spec\.replica"|\.spec\.replica: field not declared in schema/],
  },
  {
    name: "a type is wrong",
    change: (d) => {
      d.spec.replicas = "three";
    },
    want: [/replicas/, /three|string|int/],
  },
  {
    name: "the name is missing",
    change: (d) => {
      d.metadata.name = undefined;
    },
    want: [/name/],
  },
  {
    name: "a quantity is invalid",
    change: (d) => {
      d.spec.template.spec.containers[0].resources.requests.cpu = "lots";
    },
    want: [/quantities must match|Invalid value/],
  },
  {
    name: "a port is 70000",
    change: (d) => {
      d.spec.template.spec.containers[0].ports[0].containerPort = 70_000;
    },
    want: [
      /spec\.template\.spec\.containers\[0\]\.ports\[0\]\.containerPort/,
      /70000/,
      /must be between 1 and 65535, inclusive/,
    ],
  },
  {
    name: "several fields are wrong, each is named",
    change: (d) => {
      d.spec.template.spec.containers[0].ports[0].containerPort = 70_000;
      d.spec.template.spec.containers[0].name = "UPPER";
      d.spec.selector.matchLabels.app = "other";
    },
    want: [/containerPort/, /containers\[0\]\.name/, /selector/],
  },
];

for (const { name, change, want } of rows) {
  test(`a manifest is refused by name and nothing is stored when ${name}`, async () => {
    const manifest = deployment(change);
    const attempts = [
      await tryKnarr(["create", "-f", "-"], { input: manifest }),
      await tryKnarr(["apply", "-f", "-"], { input: manifest }),
      await tryKubectl(kubectls().at(-1)?.path ?? "", ["create", "-f", "-"], { input: manifest }),
    ];
    for (const { code, stdout, stderr } of attempts) {
      assert.equal(code, 1, stdout);
      for (const pattern of want) assert.match(stderr, pattern);
    }
    const left = await tryKnarr(["get", "deployment", "bad"]);
    assert.match(left.stderr, /deployments\.apps "bad" not found/);
  });
}

/** Runs `knarr ARGS` with this token instead of the admin's certificate. */
async function knarrAs(token: string, ...args: string[]) {
  const config = parse(await readFile(kubeconfig, "utf8")) as { users: { user: object }[] };
  for (const entry of config.users) entry.user = { token };
  const folder = await mkdtemp(join(tmpdir(), "knarr-e2e-"));
  try {
    await writeFile(join(folder, "config"), stringify(config), { mode: 0o600 });
    return await tryKnarr([...args, "--kubeconfig", join(folder, "config")]);
  } finally {
    await rm(folder, { recursive: true });
  }
}

test("wrong credentials get 401 in kubectl's words", async () => {
  const server = await knarrAs("not-a-token", "get", "pods");
  assert.equal(server.code, 1);
  assert.match(server.stderr, /You must be logged in to the server \(Unauthorized\)/);
});

test("missing rights get 403 in upstream's words", async () => {
  const path = kubectls().at(-1)?.path ?? "";
  const token = (await kubectl(path, ["create", "token", "default"])).trim();
  const refused = await knarrAs(token, "get", "secrets");
  assert.equal(refused.code, 1);
  assert.match(
    refused.stderr,
    /secrets is forbidden: User "system:serviceaccount:default:default" cannot list resource "secrets" in API group "" in the namespace "default"/,
  );
});
