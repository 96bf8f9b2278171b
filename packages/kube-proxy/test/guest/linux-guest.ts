/**
 * Runs a test file on a Linux of its own: a distribution's kernel in qemu (software emulation, no KVM, no disk, no network)
 * whose only file system is made here of this machine's programs and our sources. For what the host's kernel lacks.
 */
import { execFileSync, spawn } from "node:child_process";
import {
  createWriteStream,
  existsSync,
  globSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type CpioEntry, renderCpio } from "./cpio.ts";

const repository = fileURLToPath(new URL("../../../../", import.meta.url));
/** Where scripts/install-deps --vm puts Debian's kernel. */
export const kernelFolder = process.env.KNARR_GUEST_KERNEL ?? "/usr/local/lib/knarr/guest-kernel";
const MEMORY_MB = 1536;
/** The tools know protocols' names from here; other machines have it from Debian's netbase. */
const PROTOCOLS = "icmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\nipv6-icmp 58 IPv6-ICMP\nsctp 132 SCTP\n";

export interface GuestRun {
  /** In the repository; it is run with node in the guest. */
  readonly testFile: string;
  readonly programs: readonly string[];
  readonly modules: readonly string[];
  /** Called with each line that the guest prints. */
  readonly onLine: (line: string) => void;
  readonly timeoutMs: number;
}

/** What is missing to run a guest here; undefined when nothing is. */
export function missingForGuest(programs: readonly string[]): string | undefined {
  const missing = ["qemu-system-x86_64", ...programs].filter((program) => findProgram(program) === undefined);
  if (!existsSync(join(kernelFolder, "vmlinuz"))) missing.push(`a kernel in ${kernelFolder}`);
  return missing.length === 0 ? undefined : missing.join(", ");
}

/** Resolves with the exit code of the test in the guest; undefined when the guest ended otherwise. */
export async function runInGuest(run: GuestRun): Promise<number | undefined> {
  const folder = mkdtempSync(join(tmpdir(), "knarr-guest-"));
  try {
    const archive = join(folder, "initrd");
    await pipeline(Readable.from(renderCpio(withFolders(guestFiles(run)))), createWriteStream(archive));
    return await boot(archive, run);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function boot(archive: string, { onLine, timeoutMs }: GuestRun): Promise<number | undefined> {
  const args = [
    "-accel",
    "tcg,thread=multi",
    "-smp",
    "2",
    "-m",
    String(MEMORY_MB),
    "-display",
    "none",
    "-serial",
    "stdio",
  ];
  args.push(
    "-monitor",
    "none",
    "-nic",
    "none",
    "-no-reboot",
    "-kernel",
    join(kernelFolder, "vmlinuz"),
    "-initrd",
    archive,
  );
  args.push("-append", "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on");
  const child = spawn("qemu-system-x86_64", args, { stdio: ["ignore", "pipe", "inherit"] });
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  let code: number | undefined;
  let rest = "";
  try {
    for await (const chunk of child.stdout.setEncoding("utf8")) {
      const lines = (rest + chunk).split(/\r?\n/);
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const ended = /^KNARR-GUEST-EXIT (\d+)$/.exec(line);
        if (ended !== null) code = Number(ended[1]);
        else onLine(line);
      }
    }
  } finally {
    clearTimeout(timer);
    child.kill("SIGKILL");
  }
  return code;
}

function guestFiles({ testFile, programs, modules }: GuestRun): CpioEntry[] {
  const kernelModules = moduleFiles();
  const entries: CpioEntry[] = [
    ...["/proc", "/sys", "/dev", "/tmp", "/run", "/var", "/root", "/etc"].map(
      (path) => ({ kind: "directory", path }) as const,
    ),
    { kind: "link", path: "/var/run", to: "/run" },
    { kind: "file", path: "/init", mode: 0o755, from: Buffer.from(initScript(testFile, modules)) },
    ...["sh", "mount", "sysctl", "modprobe", "poweroff", "depmod"].map(
      (name) => ({ kind: "link", path: `/sbin/${name}`, to: "/bin/busybox" }) as const,
    ),
    { kind: "file", path: "/etc/protocols", mode: 0o644, from: Buffer.from(PROTOCOLS) },
    { kind: "link", path: "/bin/sh", to: "/bin/busybox" },
    { kind: "file", path: "/bin/busybox", mode: 0o755, from: realpathSync(findProgram("busybox") ?? "") },
    ...kernelModules,
    ...sourceFiles(testFile),
  ];
  const libraries = new Map<string, string>();
  for (const name of ["node", ...programs]) {
    const found = name === "node" ? process.execPath : (findProgram(name) ?? "");
    const file = realpathSync(found);
    entries.push({ kind: "file", path: `/usr/sbin/${name}`, mode: 0o755, from: file });
    for (const library of librariesOf(file)) libraries.set(library, realpathSync(library));
  }
  for (const file of globSync("/usr/lib/*/xtables/*.so")) libraries.set(file, file);
  for (const [path, from] of libraries) entries.push({ kind: "file", path, mode: 0o755, from });
  return entries;
}

function initScript(testFile: string, modules: readonly string[]): string {
  return [
    "#!/bin/sh",
    "export PATH=/usr/sbin:/sbin:/bin HOME=/root CI=",
    "mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs run /run",
    "depmod",
    ...modules.map((module) => `modprobe ${module}`),
    `KNARR_IN_GUEST=1 node --test-reporter=tap /repo/${testFile}`,
    'echo "KNARR-GUEST-EXIT $?"',
    "poweroff -f",
    "",
  ].join("\n");
}

/** The kernel's modules of networking, which are few; the guest has no use for others. */
function moduleFiles(): CpioEntry[] {
  const root = join(kernelFolder, "modules");
  const [version = ""] = readdirSync(root);
  const patterns = [
    "kernel/net/**/*.ko*",
    "kernel/lib/*.ko*",
    "kernel/drivers/net/{dummy,veth}.ko*",
    "kernel/crypto/crc32c*.ko*",
    "modules.builtin",
    "modules.order",
  ];
  return globSync(patterns, { cwd: join(root, version) }).map((path) => {
    return { kind: "file", path: `/lib/modules/${version}/${path}`, mode: 0o644, from: join(root, version, path) };
  });
}

/** The test file with everything that it loads, each package's package.json, and the links between our packages. */
function sourceFiles(testFile: string): CpioEntry[] {
  const recorder = fileURLToPath(new URL("record-modules.ts", import.meta.url));
  const { NODE_TEST_CONTEXT: _, KNARR_IN_GUEST: __, ...env } = process.env;
  const args = ["--import", pathToFileURL(recorder).href, join(repository, testFile)];
  const output = execFileSync(process.execPath, args, { encoding: "utf8", env: { ...env, KNARR_LOAD_ONLY: "1" } });
  const files = new Set(output.split("\n").flatMap((line) => (line.startsWith("file:") ? [fileURLToPath(line)] : [])));
  for (const extra of ["net-agent.ts"]) files.add(join(repository, dirname(testFile), "..", extra));
  for (const file of [...files]) {
    for (let at = dirname(file); at.startsWith(repository.replace(/\/$/, "")); at = dirname(at)) {
      if (existsSync(join(at, "package.json"))) files.add(join(at, "package.json"));
    }
  }
  const entries: CpioEntry[] = [...files].map((file) => {
    return { kind: "file", path: `/repo/${relative(repository, file)}`, mode: 0o644, from: file };
  });
  for (const name of readdirSync(join(repository, "node_modules/@knarr"))) {
    entries.push({ kind: "link", path: `/repo/node_modules/@knarr/${name}`, to: `../../packages/${name}` });
  }
  return entries;
}

function librariesOf(file: string): string[] {
  try {
    const output = execFileSync("ldd", [file], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    return [...output.matchAll(/(\/\S+)/g)].map((match) => match[1] ?? "").filter((path) => !path.endsWith(":"));
  } catch {
    return []; // A static program.
  }
}

function findProgram(name: string): string | undefined {
  const folders = `${process.env.PATH ?? ""}:/usr/sbin:/sbin`.split(":");
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path) && statSync(path).isFile());
}

/** Each entry once, and the folders that they are in before them. */
function withFolders(entries: readonly CpioEntry[]): CpioEntry[] {
  const known = new Set<string>();
  const result: CpioEntry[] = [];
  const addFolders = (path: string) => {
    if (path === "/" || known.has(path)) return;
    addFolders(dirname(path));
    known.add(path);
    result.push({ kind: "directory", path });
  };
  for (const entry of entries) {
    addFolders(dirname(entry.path));
    if (known.has(entry.path)) continue;
    known.add(entry.path);
    result.push(entry);
  }
  return result;
}
