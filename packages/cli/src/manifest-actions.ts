/** What verbs that work on manifests share: where an object goes, and one failure that doesn't stop the others. */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { StatusError } from "@knarr/apimachinery/status-error.ts";
import type { Manifest } from "./core/manifests.ts";
import type { DiscoveredResource, ResourceMapper } from "./core/resource-mapper.ts";
import { describeError } from "./errors.ts";
import { type CliContext, CliError, type Connection } from "./verb.ts";

export type FieldValidation = "Strict" | "Warn" | "Ignore";

/** kubectl's --validate values: true and false are older names. */
export function parseValidation(text: string | boolean): FieldValidation {
  const modes: Readonly<Record<string, FieldValidation>> = {
    strict: "Strict",
    true: "Strict",
    warn: "Warn",
    ignore: "Ignore",
    false: "Ignore",
  };
  const mode = modes[String(text)];
  if (mode === undefined) {
    throw new CliError(
      `Invalid value "${text}" for --validate. Must be one of "true", "false", "strict", "warn" or "ignore"`,
    );
  }
  return mode;
}

/** Where the object goes; throws CliError when its namespace contradicts --namespace. */
export function locate(
  object: KubeObject & { readonly apiVersion: string; readonly kind: string },
  mapper: ResourceMapper,
  connection: Connection,
): { resource: DiscoveredResource; namespace: string } {
  const resource = mapper.forKind(object.apiVersion, object.kind);
  if (!resource.namespaced) return { resource, namespace: "" };
  const namespace = object.metadata.namespace ?? connection.namespace;
  if (connection.namespaceGiven && namespace !== connection.namespace) {
    throw new CliError(
      `the namespace from the provided object "${namespace}" does not match the namespace "${connection.namespace}". ` +
        `You must pass '--namespace=${namespace}' to perform this operation.`,
    );
  }
  return { resource, namespace };
}

/** Runs `one` for every manifest; each failure is printed and the command fails at the end, as kubectl does. */
export async function forEachManifest(
  doing: string | (() => string),
  manifests: readonly Manifest[],
  context: CliContext,
  one: (manifest: Manifest) => Promise<void>,
): Promise<void> {
  let failed = false;
  for (const manifest of manifests) {
    try {
      await one(manifest);
    } catch (error) {
      if (context.signal.aborted) throw error;
      context.stderr.write(`${manifestError(typeof doing === "string" ? doing : doing(), manifest.source, error)}\n`);
      failed = true;
    }
  }
  if (failed) throw new SilentError();
}

/** `Error from server (BadRequest): error when creating "web.yaml": ...`. */
function manifestError(doing: string, source: string, error: unknown): string {
  if (!(error instanceof StatusError) || error.status.reason === "Unauthorized") return describeError(error);
  const { reason, details } = error.status;
  if (reason === "Invalid" && details?.causes !== undefined) return describeError(error);
  const text = describeError(error);
  const colon = text.indexOf(": ");
  return `${text.slice(0, colon)}: error when ${doing} ${JSON.stringify(source)}: ${text.slice(colon + 2)}`;
}

/** Everything was told already; only the exit code is left. */
export class SilentError extends CliError {
  constructor() {
    super("");
    this.name = "SilentError";
  }
}
