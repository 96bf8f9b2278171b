/** What the README and the guides tell people to type is there: verbs with their flags, scripts, services, files. */
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { parse } from "yaml";
import { verbs } from "../packages/cli/src/verbs/index.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (file: string) => readFileSync(join(root, file), "utf8");
const documents = globSync(["README.md", "docs/guides/*.md", "examples/**/*.md"], { cwd: root }).filter(
  (file) => !file.includes("node_modules"),
);

/** Code spans and indented or fenced lines that begin with the word; comments and pipes cut off. */
function commandsOf(text: string, word: string): string[] {
  const spans = [...text.matchAll(/`([^`\n]+)`/g)].map(([, code = ""]) => code);
  const lines = text.split("\n").filter((line) => /^ {4}\S/.test(line));
  return [...spans, ...lines.map((line) => line.trim())]
    .map((line) => line.replace(/\\?\|.*|(^|\s)#.*|`.*/g, "").trim())
    .filter((line) => line.startsWith(`${word} `));
}

const GLOBAL = new Set(["--kubeconfig", "--context", "--namespace", "-n", "--as", "--help", "--request-timeout"]);

/** What is wrong with `knarr WORDS`: an unknown verb, subcommand or flag; "" when nothing is. */
async function faultOf(line: string): Promise<string> {
  const own = line.split(" -- ")[0] ?? "";
  const words = own.split(/\s+/).slice(1);
  const entry = verbs.find(({ name }) => name === words[0]);
  if (entry === undefined) return `no verb ${words[0]}`;
  const program = new Command("knarr");
  const stream = new PassThrough();
  const context = { stdout: stream, stderr: stream, stdin: stream, env: {}, signal: new AbortController().signal };
  (await entry.load()).register(program, { ...context, verbNames: verbs.map(({ name }) => name) });
  let command = program;
  for (const word of words) {
    const inner = command.commands.find((c) => c.name() === word || c.aliases().includes(word));
    if (inner !== undefined) command = inner;
  }
  const known = new Set(command.options.flatMap(({ long, short }) => [long, short]));
  const unknown = words
    .filter((word) => /^--?[a-zA-Z]/.test(word))
    .map((word) => word.split("=")[0] ?? "")
    .find((flag) => !known.has(flag) && !GLOBAL.has(flag));
  return unknown === undefined ? "" : `no flag ${unknown}`;
}

test("every knarr command that a guide shows has its verb and its flags", async () => {
  const shown = documents.flatMap((file) => commandsOf(read(file), "knarr").map((line) => ({ file, line })));
  assert.ok(shown.length > 25, `only ${shown.length} commands found`);
  const faults = await Promise.all(shown.map(async ({ file, line }) => ({ file, line, fault: await faultOf(line) })));
  assert.deepEqual(
    faults.filter(({ fault }) => fault !== ""),
    [],
  );
});

test("every npm script, script and source file that a guide names is there", () => {
  const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
  for (const file of documents) {
    const text = read(file);
    for (const line of commandsOf(text, "npm run")) {
      const name = line.split(/\s+/)[2] ?? "";
      assert.ok(Object.hasOwn(scripts, name), `${file}: ${line}`);
    }
    for (const [path] of text.matchAll(/(?<![\w/.-])(?:scripts|packages|deploy|examples|docs)\/[\w./-]*\w/g)) {
      if (path.includes("DAEMON")) continue;
      assert.ok(existsSync(join(root, path)), `${file}: ${path}`);
    }
  }
});

test("every service that a guide gives to docker compose is in docker-compose.yml", () => {
  const { services } = parse(read("docker-compose.yml"), { merge: true }) as { services: Record<string, unknown> };
  for (const file of documents) {
    for (const line of commandsOf(read(file), "docker compose")) {
      const named = /(?:logs|restart|exec)(?: -[a-zA-Z]+| --[\w-]+(?:[ =]\d+)?)* ([a-z-]+)/.exec(line)?.[1];
      const scaled = /--scale (\w+)=/.exec(line)?.[1];
      for (const name of [named, scaled]) {
        if (name !== undefined) assert.ok(Object.hasOwn(services, name), `${file}: ${line}`);
      }
    }
  }
});
