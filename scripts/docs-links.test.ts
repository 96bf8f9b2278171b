/** Every relative link in the project's documents leads to a file or folder. */
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const documents = globSync(["README.md", "docs/**/*.md", "packages/*/README.md", "deploy/*.md", "examples/**/*.md"], {
  cwd: root,
}).filter((file) => !file.includes("node_modules"));

test("links in documents lead somewhere", () => {
  assert.ok(documents.length > 10, "no documents found");
  const dead = documents.flatMap((file) => {
    const text = readFileSync(join(root, file), "utf8");
    return [...text.matchAll(/\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)/g)]
      .map(([, target = ""]) => target)
      .filter((target) => !existsSync(join(root, dirname(file), target)))
      .map((target) => `${file}: ${target}`);
  });
  assert.deepEqual(dead, []);
});
