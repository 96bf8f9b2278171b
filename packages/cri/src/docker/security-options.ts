/** HostConfig.SecurityOpt from the runtime interface's security context. Pure but for reading a seccomp profile's file. */
import { readFile } from "node:fs/promises";
import { RuntimeError } from "../runtime-error.ts";
import type { ContainerSecurityContext, SandboxSecurityContext, SecurityProfile, SeLinuxOption } from "../types.ts";

type SecurityContext = SandboxSecurityContext & Pick<ContainerSecurityContext, "noNewPrivs" | "apparmorProfile">;

/** Fields of runtimes before the profile messages: "runtime/default", "unconfined", "localhost/NAME". */
function profileOf(profile: SecurityProfile | undefined, older: string | undefined): SecurityProfile | undefined {
  if (profile !== undefined) return profile;
  if (older === undefined || older === "") return undefined;
  if (older === "unconfined") return { profileType: "Unconfined" };
  if (older === "runtime/default" || older === "docker/default") return { profileType: "RuntimeDefault" };
  return { profileType: "Localhost", localhostRef: older.replace(/^localhost\//, "") };
}

/** `hasAppArmor`: the engine names it among its security options. Throws InvalidArgument for a profile that can't be read. */
export async function securityOptions(
  context: Partial<SecurityContext>,
  hasAppArmor: boolean,
  olderSeccomp?: string,
): Promise<string[]> {
  const seccomp = await seccompOption(profileOf(context.seccomp, olderSeccomp), context.privileged ?? false);
  const apparmor = hasAppArmor ? appArmorOption(profileOf(context.apparmor, context.apparmorProfile)) : [];
  const noNewPrivileges = context.noNewPrivs === true ? ["no-new-privileges"] : [];
  return [...seccomp, ...apparmor, ...seLinuxOptions(context.selinuxOptions), ...noNewPrivileges];
}

async function seccompOption(profile: SecurityProfile | undefined, privileged: boolean): Promise<string[]> {
  if (privileged) return ["seccomp=unconfined"];
  switch (profile?.profileType) {
    case "RuntimeDefault":
      return [];
    case "Localhost":
      return [`seccomp=${await readProfile(profile.localhostRef ?? "")}`];
    default:
      // Source: CRI leaves a container without a profile unconfined; the kubelet's default says otherwise where it is on.
      return ["seccomp=unconfined"];
  }
}

async function readProfile(path: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new RuntimeError("InvalidArgument", `cannot load seccomp profile ${JSON.stringify(path)}: ${cause}`, {
      cause,
    });
  }
  try {
    return JSON.stringify(JSON.parse(text));
  } catch (cause) {
    throw new RuntimeError("InvalidArgument", `decoding seccomp profile ${JSON.stringify(path)} failed: ${cause}`, {
      cause,
    });
  }
}

function appArmorOption(profile: SecurityProfile | undefined): string[] {
  switch (profile?.profileType) {
    case "Unconfined":
      return ["apparmor=unconfined"];
    case "Localhost":
      return [`apparmor=${profile.localhostRef ?? ""}`];
    default:
      return [];
  }
}

function seLinuxOptions(options: SeLinuxOption | undefined): string[] {
  if (options === undefined) return [];
  return (["user", "role", "type", "level"] as const)
    .filter((part) => (options[part] ?? "") !== "")
    .map((part) => `label=${part}:${options[part]}`);
}
