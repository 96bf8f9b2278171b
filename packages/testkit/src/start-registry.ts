/**
 * An image registry for tests on a loopback port: one image, behind a user name and a password if asked. Runtimes take
 * loopback registries over plain HTTP. Serves what a pull needs of the Docker Registry API, version 2.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { type TarEntry, writeTar } from "@knarr/cluster/images/tar.ts";

export interface TestRegistryOptions {
  /** "team/app" */
  readonly name: string;
  readonly tag: string;
  readonly files: readonly TarEntry[];
  readonly credentials?: { readonly username: string; readonly password: string };
}

export interface TestRegistry {
  /** "127.0.0.1:34567/team/app:1" */
  readonly image: string;
  readonly address: string;
  /** While on, layers stop half-way and are never finished. */
  stall: boolean;
  /** While on, layers come with wrong bytes. */
  corrupt: boolean;
  stop(): Promise<void>;
}

const MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json";
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };
const digestOf = (data: Buffer) => `sha256:${createHash("sha256").update(data).digest("hex")}`;

interface Content {
  readonly manifest: Buffer;
  readonly blobs: ReadonlyMap<string, Buffer>;
  readonly layer: string;
}

function contentOf(files: readonly TarEntry[]): Content {
  const tar = writeTar(files);
  const layer = gzipSync(tar);
  const config = Buffer.from(
    JSON.stringify({
      architecture: ARCHITECTURES[process.arch] ?? process.arch,
      os: "linux",
      config: { Cmd: ["/bin/true"] },
      rootfs: { type: "layers", diff_ids: [digestOf(tar)] },
      history: [{ created: "1970-01-01T00:00:00Z" }],
    }),
  );
  const describe = (mediaType: string, data: Buffer) => ({ mediaType, size: data.length, digest: digestOf(data) });
  const manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: describe("application/vnd.docker.container.image.v1+json", config),
    layers: [describe("application/vnd.docker.image.rootfs.diff.tar.gzip", layer)],
  };
  return {
    manifest: Buffer.from(JSON.stringify(manifest)),
    blobs: new Map([config, layer].map((data) => [digestOf(data), data])),
    layer: digestOf(layer),
  };
}

export async function startRegistry(options: TestRegistryOptions): Promise<TestRegistry> {
  const content = contentOf(options.files);
  const state = { stall: false, corrupt: false };
  const server = createServer((request, response) => serve(request, response, options, content, state));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return Object.assign(state, {
    image: `${address}/${options.name}:${options.tag}`,
    address,
    stop: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  });
}

function serve(
  request: IncomingMessage,
  response: ServerResponse,
  { name, tag, credentials }: TestRegistryOptions,
  content: Content,
  state: { readonly stall: boolean; readonly corrupt: boolean },
): void {
  const expected = credentials && Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64");
  if (expected !== undefined && request.headers.authorization !== `Basic ${expected}`) {
    const body = JSON.stringify({ errors: [{ code: "UNAUTHORIZED", message: "authentication required" }] });
    response.writeHead(401, { "www-authenticate": 'Basic realm="test"', "content-type": "application/json" }).end(body);
    return;
  }
  const path = request.url ?? "";
  const send = (data: Buffer, type: string) => {
    response.writeHead(200, {
      "content-type": type,
      "content-length": data.length,
      "docker-content-digest": digestOf(data),
    });
    response.end(request.method === "HEAD" ? undefined : data);
  };
  if (path === "/v2/") return send(Buffer.from("{}"), "application/json");
  const wanted = [tag, digestOf(content.manifest)].map((reference) => `/v2/${name}/manifests/${reference}`);
  if (wanted.includes(path)) return send(content.manifest, MANIFEST_TYPE);
  const digest = path.startsWith(`/v2/${name}/blobs/`) ? path.slice(`/v2/${name}/blobs/`.length) : "";
  const blob = content.blobs.get(digest);
  if (blob === undefined) {
    const body = JSON.stringify({ errors: [{ code: "MANIFEST_UNKNOWN", message: "manifest unknown" }] });
    response.writeHead(404, { "content-type": "application/json" }).end(body);
    return;
  }
  if (digest !== content.layer) return send(blob, "application/octet-stream");
  if (state.stall) {
    response.writeHead(200, { "content-type": "application/octet-stream", "content-length": blob.length });
    response.write(blob.subarray(0, blob.length >> 1));
    return;
  }
  send(state.corrupt ? Buffer.from(blob.map((byte) => byte ^ 1)) : blob, "application/octet-stream");
}
