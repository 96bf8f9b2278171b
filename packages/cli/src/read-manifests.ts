/** Reads what `-f` and `-k` name: files, folders (with -R their subfolders), URLs, `-` for standard input, kustomizations. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { type Manifest, parseManifests } from "./core/manifests.ts";
import { type CliContext, CliError } from "./verb.ts";

const EXTENSIONS = [".yaml", ".yml", ".json"];
const URL_TIMEOUT_MS = 30_000;

export interface ReadOptions {
  readonly recursive: boolean;
  readonly kustomize?: string;
}

/** Throws CliError when a name can't be read, or nothing was named. Objects come in the order of the names. */
export async function readManifests(
  names: readonly string[],
  options: ReadOptions,
  context: CliContext,
): Promise<Manifest[]> {
  if (options.kustomize !== undefined) {
    if (names.length > 0) throw new CliError("only one of -f or -k can be specified");
    const { buildKustomization } = await import("./kustomize/build.ts");
    return await buildKustomization(options.kustomize);
  }
  if (names.length === 0) throw new CliError("must specify one of -f and -k");
  const manifests: Manifest[] = [];
  for (const name of names) {
    if (name === "-") manifests.push(...parseManifests(await text(context.stdin), "STDIN"));
    else if (/^https?:\/\//.test(name)) manifests.push(...parseManifests(await fetchText(name, context.signal), name));
    else {
      for (const file of await filesOf(name, options.recursive)) {
        manifests.push(...parseManifests(await readFile(file, "utf8"), file));
      }
    }
  }
  if (manifests.length === 0) {
    const only = names.length === 1 ? names[0] : undefined;
    const isFolder = only !== undefined && only !== "-" && !/^https?:/.test(only) && (await stat(only)).isDirectory();
    throw new CliError(
      isFolder
        ? `error reading [${only}]: recognized file extensions are [.json .yaml .yml]`
        : "no objects passed to apply",
    );
  }
  return manifests;
}

async function filesOf(name: string, recursive: boolean): Promise<string[]> {
  let info: Awaited<ReturnType<typeof stat>>;
  try {
    info = await stat(name);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
    throw new CliError(`the path ${JSON.stringify(name)} does not exist`);
  }
  if (!info.isDirectory()) return [name];
  const entries = await readdir(name, { withFileTypes: true, recursive });
  return entries
    .filter((entry) => entry.isFile() && EXTENSIONS.some((extension) => entry.name.endsWith(extension)))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

async function fetchText(url: string, signal: AbortSignal): Promise<string> {
  const response = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(URL_TIMEOUT_MS)]) });
  if (!response.ok) {
    throw new CliError(
      `unable to read URL ${JSON.stringify(url)}, server reported ${response.status} ${response.statusText}, status code=${response.status}`,
    );
  }
  return response.text();
}
