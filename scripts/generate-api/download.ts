/** Fetches the Go source of the API types from Debian, without installing anything. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const debianPackages = ["golang-k8s-api-dev", "golang-k8s-apimachinery-dev", "golang-k8s-apiextensions-apiserver-dev"];

/** Of k8s.io/api that Knarr follows: 0.36 is Kubernetes 1.36. */
const release = "0.36.";

export interface DownloadedSource {
  /** The folder above k8s.io. */
  readonly source: string;
  /** Removes everything that was downloaded. */
  remove(): void;
}

/** Downloads and unpacks into a new temporary folder. Needs apt and dpkg. Throws when the suite has moved on to another release. */
export function downloadSource(suite: string): DownloadedSource {
  const folder = mkdtempSync(join(tmpdir(), "knarr-k8s-source-"));
  const lists = join(folder, "apt");
  const options = [
    ["Dir::State::Lists", join(lists, "lists")],
    ["Dir::Cache", join(lists, "cache")],
    ["Dir::Etc::SourceList", join(lists, "sources.list")],
    ["Dir::Etc::SourceParts", "/dev/null"],
    // The machine may pin other suites away.
    ["Dir::Etc::Preferences", "/dev/null"],
    ["Dir::Etc::PreferencesParts", "/dev/null"],
    ["APT::Sandbox::User", "root"],
    ["APT::Architectures", "amd64"],
  ].flatMap(([key, value]) => ["-o", `${key}=${value}`]);
  const run = (command: string, args: string[]) => execFileSync(command, args, { cwd: folder, stdio: "inherit" });
  run("mkdir", ["-p", join(lists, "lists/partial"), join(lists, "cache/archives/partial")]);
  run("sh", ["-c", `echo 'deb http://deb.debian.org/debian ${suite} main' > ${join(lists, "sources.list")}`]);
  run("apt-get", [...options, "update"]);
  run("apt-get", [...options, "download", ...debianPackages]);
  for (const name of readdirSync(folder).filter((file) => file.endsWith(".deb"))) {
    if (!name.includes(`_${release}`))
      throw new Error(`${name} is not release ${release}x; use --source or another --suite`);
    run("dpkg", ["-x", name, "root"]);
  }
  return {
    source: join(folder, "root/usr/share/gocode/src"),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
