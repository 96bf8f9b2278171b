/**
 * Finds the resource that a word on the command line means: "po", "pods", "Pod", "deploy", "deployments.apps",
 * "deployments.v1.apps". Pure: works on what discovery answered.
 */
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import { BareError, CliError } from "../verb.ts";

export interface DiscoveredResource extends ResourceRef<unknown> {
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly verbs: readonly string[];
  readonly subresources: readonly string[];
}

export class ResourceMapper {
  /** In the server's order of preference: core first, then groups as listed, preferred versions first. */
  readonly resources: readonly DiscoveredResource[];

  constructor(resources: readonly DiscoveredResource[]) {
    this.resources = resources;
  }

  /** Throws CliError in kubectl's words when nothing has that name. */
  resolve(word: string): DiscoveredResource {
    const found = this.#find(word);
    if (found === undefined) throw new CliError(`the server doesn't have a resource type ${JSON.stringify(word)}`);
    return found;
  }

  /** All listable resources of a category ("all"); undefined when there is no such category. */
  category(word: string): readonly DiscoveredResource[] | undefined {
    const members = this.resources.filter((r) => r.categories.includes(word) && r.verbs.includes("list"));
    return members.length === 0 ? undefined : members;
  }

  /** The resource that serves objects of this apiVersion and kind. */
  forKind(apiVersion: string, kind: string): DiscoveredResource {
    const slash = apiVersion.indexOf("/");
    const group = slash < 0 ? "" : apiVersion.slice(0, slash);
    const version = apiVersion.slice(slash + 1);
    const found = this.resources.find((r) => r.kind === kind && r.group === group && r.version === version);
    if (found === undefined) {
      throw new CliError(
        `no matches for kind "${kind}" in version "${apiVersion}"; "knarr api-resources" lists what the server has`,
      );
    }
    return found;
  }

  #find(word: string): DiscoveredResource | undefined {
    const lower = word.toLowerCase();
    const [name = "", ...rest] = lower.split(".");
    const suffix = rest.join(".");
    const named = this.resources.filter(
      (r) => r.resource === name || r.singular === name || r.shortNames.includes(name) || r.kind.toLowerCase() === name,
    );
    if (suffix === "") return named[0];
    return (
      named.find((r) => r.group === suffix) ??
      named.find((r) => `${r.version}.${r.group}` === suffix || (r.group === "" && r.version === suffix)) ??
      named.find((r) => r.group.startsWith(`${suffix}.`))
    );
  }
}

/** As `resolve`, for the commands whose error kubectl prints bare. */
export function resolveBare(mapper: ResourceMapper, word: string): DiscoveredResource {
  try {
    return mapper.resolve(word);
  } catch (error) {
    throw error instanceof CliError ? new BareError(error.message) : error;
  }
}
