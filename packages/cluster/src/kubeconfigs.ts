/** Kubeconfig files with the credentials inside, as kubeadm writes them. */
import { readFile } from "node:fs/promises";
import { stringify } from "yaml";
import type { KeyFiles } from "./pki.ts";
import { readIfThere, writeWhole } from "./whole-file.ts";

export interface KubeconfigSpec {
  readonly clusterName: string;
  readonly user: string;
  readonly server: string;
  readonly caFile: string;
  readonly credentials: KeyFiles;
}

/** Whole or not at all, since daemons that run watch it; what says the same already is left alone. */
export async function writeKubeconfig(path: string, spec: KubeconfigSpec): Promise<void> {
  const base64 = async (file: string) => (await readFile(file)).toString("base64");
  const context = `${spec.user}@${spec.clusterName}`;
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      {
        name: spec.clusterName,
        cluster: { server: spec.server, "certificate-authority-data": await base64(spec.caFile) },
      },
    ],
    contexts: [{ name: context, context: { cluster: spec.clusterName, user: spec.user } }],
    "current-context": context,
    users: [
      {
        name: spec.user,
        user: {
          "client-certificate-data": await base64(spec.credentials.cert),
          "client-key-data": await base64(spec.credentials.key),
        },
      },
    ],
  };
  const text = stringify(config);
  if ((await readIfThere(path)) === text) return; // its owner stays, too
  await writeWhole(path, text, 0o600);
}
