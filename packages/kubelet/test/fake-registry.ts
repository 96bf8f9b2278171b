/** An image registry on 127.0.0.1 that serves one image under many names and misbehaves as its name says. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { ImageSpec } from "@knarr/cluster/images/image-archive.ts";
import { writeTar } from "@knarr/cluster/images/tar.ts";

/** What is wrong with an image. `private` wants user "me" with password "secret". */
export type Fault = "none" | "private" | "corrupt" | "hang" | "broken" | "gone";

export interface FakeRegistry {
  /** "127.0.0.1:PORT" */
  readonly address: string;
  /** Manifests asked for, by image. */
  readonly pulls: ReadonlyMap<string, number>;
  set(image: string, fault: Fault): void;
  stop(): Promise<void>;
}

const MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
const digestOf = (data: Buffer) => `sha256:${createHash("sha256").update(data).digest("hex")}`;

/** Every image has a layer of its own: runtimes do not fetch what they have under another name. */
function parts(spec: ImageSpec, image: string) {
  const mark = { type: "file", path: `etc/image-${image}`, mode: 0o644, data: Buffer.from(image) } as const;
  const layer = writeTar([...spec.files, mark]);
  const architecture = process.arch === "arm64" ? "arm64" : "amd64";
  const config = Buffer.from(
    JSON.stringify({
      architecture,
      os: "linux",
      config: { Env: ["PATH=/bin"] },
      rootfs: { type: "layers", diff_ids: [digestOf(layer)] },
    }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: {
        mediaType: "application/vnd.docker.container.image.v1+json",
        size: config.length,
        digest: digestOf(config),
      },
      layers: [
        {
          mediaType: "application/vnd.docker.image.rootfs.diff.tar",
          size: layer.length,
          digest: digestOf(layer),
        },
      ],
    }),
  );
  return { layer, config, manifest };
}

export async function startFakeRegistry(spec: ImageSpec): Promise<FakeRegistry> {
  const faults = new Map<string, Fault>();
  const pulls = new Map<string, number>();
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    const match = /^\/v2\/([^/]+)\/(manifests|blobs)\/(.+)$/.exec(request.url ?? "");
    if (match === null) return void response.writeHead(200).end("{}");
    const [, image = "", kind = "", reference = ""] = match;
    const fault = faults.get(image) ?? "gone";
    if (fault === "gone") return void response.writeHead(404).end('{"errors":[{"code":"MANIFEST_UNKNOWN"}]}');
    const { layer, config, manifest } = parts(spec, image);
    const wanted = `Basic ${Buffer.from("me:secret").toString("base64")}`;
    if (fault === "private" && request.headers.authorization !== wanted) {
      return void response.writeHead(401, { "www-authenticate": 'Basic realm="registry"' }).end("{}");
    }
    if (kind === "manifests") pulls.set(image, (pulls.get(image) ?? 0) + 1);
    if (kind === "manifests" && fault === "broken") return void response.writeHead(500).end();
    const isLayer = reference === digestOf(layer);
    if (isLayer && fault === "hang") return void response.writeHead(200, { "content-length": layer.length }).write("x");
    const blobs = [config, manifest, layer].find((b) => digestOf(b) === reference);
    const spoiled = isLayer && fault === "corrupt";
    if (spoiled) layer.fill(0xff, 512, 1024);
    const body = kind === "manifests" ? manifest : blobs;
    if (body === undefined) return void response.writeHead(404).end();
    const type = kind === "manifests" ? MANIFEST : "application/octet-stream";
    response.writeHead(200, {
      "content-type": type,
      "content-length": body.length,
      "docker-content-digest": kind === "manifests" ? digestOf(manifest) : reference,
    });
    response.end(request.method === "HEAD" ? undefined : body);
  };
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    pulls,
    set: (image, fault) => faults.set(image, fault),
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
