/**
 * The images that tests and examples run, made of the machine's own static busybox:
 *   knarr.local/pause:3.10   holds a pod's namespaces
 *   knarr.local/busybox:1    a shell with every applet (Debian 12's wget crashes when given -T, anywhere)
 *   knarr.local/web:1, :2    an HTTP server on $PORT (8080): / says "<hostname> version <$VERSION>", /healthz and /readyz say ok,
 *                            /env lists the environment; removing /www/readyz makes it unready; on TERM it serves
 *                            $DRAIN_SECONDS (0) longer and then ends
 */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import type { ImageSpec } from "@knarr/cluster/images/image-archive.ts";
import { PAUSE_IMAGE, pauseImage } from "@knarr/cluster/images/pause-image.ts";
import type { TarEntry } from "@knarr/cluster/images/tar.ts";

export const BUSYBOX_IMAGE = "knarr.local/busybox:1";
export const WEB_IMAGE = "knarr.local/web:1";
export const WEB_IMAGE_2 = "knarr.local/web:2";

/** Where distributions put a static busybox. */
const BUSYBOX_PATHS = ["/bin/busybox", "/usr/bin/busybox", "/bin/busybox.static"];

const WEB_SCRIPT = `#!/bin/sh
mkdir -p /www
echo "$(hostname) version $VERSION" > /www/index.html
echo ok > /www/healthz
echo ok > /www/readyz
env > /www/env
httpd -f -p "$PORT" -h /www &
server=$!
trap 'sleep "$DRAIN_SECONDS"; kill $server; exit 0' TERM INT
while kill -0 $server 2>/dev/null; do wait $server; done
`;

function file(path: string, data: string | Buffer, mode = 0o644): TarEntry {
  return { type: "file", path, mode, data: Buffer.from(data) };
}

async function readBusybox(): Promise<{ path: string; data: Buffer }> {
  for (const path of BUSYBOX_PATHS) {
    try {
      return { path, data: await readFile(path) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  throw new Error(`no busybox at ${BUSYBOX_PATHS.join(", ")}: install the package busybox-static`);
}

async function busyboxFiles(): Promise<TarEntry[]> {
  const busybox = await readBusybox();
  const { stdout } = await promisify(execFile)(busybox.path, ["--list"]);
  const applets = stdout.split("\n").filter((name) => name !== "" && name !== "busybox");
  return [
    ...["bin/", "etc/", "root/", "var/", "home/", "usr/", "www/"].map(
      (path): TarEntry => ({ type: "directory", path, mode: 0o755 }),
    ),
    { type: "directory", path: "tmp/", mode: 0o1777 },
    file("bin/busybox", busybox.data, 0o755),
    ...applets.map((name): TarEntry => ({ type: "symlink", path: `bin/${name}`, target: "busybox" })),
    { type: "symlink", path: "usr/bin", target: "../bin" },
    file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
    file("etc/group", "root:x:0:\nnobody:x:65534:\n"),
  ];
}

/** Every test image. Throws when the machine has no static busybox. */
export async function testImages(): Promise<ImageSpec[]> {
  const base = await busyboxFiles();
  const web = (name: string, version: string): ImageSpec => ({
    name,
    files: [...base, file("bin/web", WEB_SCRIPT, 0o755)],
    entrypoint: ["/bin/web"],
    env: { PORT: "8080", VERSION: version, DRAIN_SECONDS: "0" },
  });
  return [
    process.arch === "x64" ? pauseImage() : shellPauseImage(base),
    { name: BUSYBOX_IMAGE, files: base, command: ["/bin/sh"] },
    web(WEB_IMAGE, "1"),
    web(WEB_IMAGE_2, "2"),
  ];
}

/** Elsewhere the shell does the same: it reaps as process 1 and ends on TERM. */
function shellPauseImage(base: readonly TarEntry[]): ImageSpec {
  const script = "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done";
  return { name: PAUSE_IMAGE, files: base, entrypoint: ["/bin/sh", "-c", script] };
}
