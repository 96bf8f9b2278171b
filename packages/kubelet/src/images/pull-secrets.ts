/** Registry credentials from imagePullSecrets. Pure. Source: kubernetes.io/docs/concepts/containers/images#config-json */
import type { Secret } from "@knarr/api/generated/types/core-v1.ts";
import type { RegistryAuth } from "@knarr/cri/types.ts";

/** What a registry is shown, and the secret that it comes from. */
export interface Credential {
  readonly auth: RegistryAuth;
  readonly source: { readonly uid: string; readonly namespace: string; readonly name: string };
}

interface DockerEntry {
  readonly username?: string;
  readonly password?: string;
  readonly auth?: string;
  readonly identitytoken?: string;
}

/** The registry that an image is pulled from; names without one are Docker Hub's. */
export function registryOf(image: string): string {
  const first = image.split("/", 1)[0] ?? "";
  const isHost = image.includes("/") && (first.includes(".") || first.includes(":") || first === "localhost");
  return isHost ? first : "docker.io";
}

function entriesOf(secret: Secret): [registry: string, entry: DockerEntry][] {
  const data = secret.data ?? {};
  const text = data[".dockerconfigjson"] ?? data[".dockercfg"];
  if (text === undefined) return [];
  try {
    const parsed = JSON.parse(Buffer.from(text, "base64").toString()) as { auths?: Record<string, DockerEntry> };
    const auths =
      data[".dockerconfigjson"] === undefined ? (parsed as Record<string, DockerEntry>) : (parsed.auths ?? {});
    return Object.entries(auths);
  } catch {
    // A secret that is no JSON gives no credentials; the pull's own error then tells.
    return [];
  }
}

/** "https://index.docker.io/v1/" -> "docker.io" and the path below it. */
function normalise(registry: string): { host: string; path: string } {
  const bare = registry.replace(/^https?:\/\//, "").replace(/\/$/, "");
  const [host = "", ...rest] = bare.split("/");
  if (host === "index.docker.io" || host === "registry-1.docker.io") return { host: "docker.io", path: "" };
  return { host, path: rest.join("/").replace(/^v[12]\/?/, "") };
}

function hostMatches(pattern: string, host: string): boolean {
  if (!pattern.includes("*")) return pattern === host;
  const [patternParts, hostParts] = [pattern.split("."), host.split(".")];
  return (
    patternParts.length === hostParts.length && patternParts.every((part, i) => part === "*" || part === hostParts[i])
  );
}

/** Credentials that fit the image, those of the longest path first. */
export function credentialsFor(image: string, secrets: readonly Secret[]): Credential[] {
  const host = registryOf(image);
  const path = image.startsWith(`${host}/`) ? image.slice(host.length + 1) : image;
  return secrets
    .flatMap((secret) => entriesOf(secret).map(([registry, entry]) => ({ ...normalise(registry), entry, secret })))
    .filter((e) => hostMatches(e.host, host) && (e.path === "" || path === e.path || path.startsWith(`${e.path}/`)))
    .toSorted((a, b) => b.path.length - a.path.length)
    .map(({ entry, secret: { metadata } }) => {
      const { uid = "", namespace = "", name = "" } = metadata ?? {};
      return { auth: authOf(entry), source: { uid, namespace, name } };
    });
}

function authOf(entry: DockerEntry): RegistryAuth {
  const identity = entry.identitytoken === undefined ? {} : { identityToken: entry.identitytoken };
  if (entry.auth === undefined) {
    return { username: entry.username ?? "", password: entry.password ?? "", ...identity };
  }
  const decoded = Buffer.from(entry.auth, "base64").toString();
  const colon = decoded.indexOf(":");
  return { username: decoded.slice(0, colon), password: decoded.slice(colon + 1), ...identity };
}
