/** Fetches the Go source of the API types from Debian, without installing anything. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const debianPackages = ["golang-k8s-api-dev", "golang-k8s-apimachinery-dev", "golang-k8s-apiextensions-apiserver-dev"];

/** Downloads and unpacks into a new temporary folder; returns the folder above k8s.io. Needs apt and dpkg. */
export function downloadSource(suite: string): string {
  const folder = mkdtempSync(join(tmpdir(), "knarr-k8s-source-"));
  const lists = join(folder, "apt");
  const options = [
    ["Dir::State::Lists", join(lists, "lists")],
    ["Dir::Cache", join(lists, "cache")],
    ["Dir::Etc::SourceList", join(lists, "sources.list")],
    ["Dir::Etc::SourceParts", "/dev/null"],
    ["APT::Architectures", "amd64"],
  ].flatMap(([key, value]) => ["-o", `${key}=${value}`]);
  const run = (command: string, args: string[]) => execFileSync(command, args, { cwd: folder, stdio: "inherit" });
  run("mkdir", ["-p", join(lists, "lists/partial"), join(lists, "cache/archives/partial")]);
  run("sh", ["-c", `echo 'deb http://deb.debian.org/debian ${suite} main' > ${join(lists, "sources.list")}`]);
  run("apt-get", [...options, "update"]);
  run("apt-get", [...options, "download", ...debianPackages]);
  for (const name of readdirSync(folder)) if (name.endsWith(".deb")) run("dpkg", ["-x", name, "root"]);
  return join(folder, "root/usr/share/gocode/src");
}
