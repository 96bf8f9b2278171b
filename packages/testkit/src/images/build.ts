/** `node packages/testkit/src/images/build.ts OUTDIR` writes the test images as archives and prints their paths. */
import { buildImageArchive } from "@knarr/cluster/images/image-archive.ts";
import { testImages } from "./test-images.ts";

const directory = process.argv[2];
if (directory === undefined) {
  process.stderr.write("usage: build.ts OUTDIR\n");
  process.exit(1);
}
for (const spec of await testImages()) {
  process.stdout.write(`${await buildImageArchive(spec, directory)}\n`);
}
