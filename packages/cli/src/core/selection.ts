/**
 * What objects the words of a command line mean: `TYPE`, `TYPE NAME...`, `TYPE/NAME...`, `TYPE1,TYPE2`, `all`.
 */
import { CliError } from "../verb.ts";
import type { DiscoveredResource, ResourceMapper } from "./resource-mapper.ts";

export interface Selection {
  readonly resource: DiscoveredResource;
  /** Undefined means all objects of the resource. */
  readonly name: string | undefined;
}

/** Throws CliError in kubectl's words for mixed and empty forms. */
export function parseSelection(words: readonly string[], mapper: ResourceMapper): Selection[] {
  const [first, ...names] = words;
  if (first === undefined) {
    throw new CliError(
      'You must specify the type of resource. Use "knarr api-resources" for a complete list of supported resources.',
    );
  }
  if (words.some((word) => word.includes("/"))) {
    return words.map((word) => {
      const parts = word.split("/");
      const [type, name] = parts;
      if (parts.length !== 2 || !type || !name) {
        throw new CliError(
          `there is no need to specify a resource type as a separate argument when passing arguments in ` +
            `resource/name form (e.g. 'knarr get resource/<resource_name>' instead of 'knarr get resource resource/<resource_name>'`,
        );
      }
      return { resource: mapper.resolve(type), name };
    });
  }
  const resources = first.split(",").flatMap((type) => mapper.category(type) ?? [mapper.resolve(type)]);
  if (names.length === 0) return resources.map((resource) => ({ resource, name: undefined }));
  return resources.flatMap((resource) => names.map((name) => ({ resource, name })));
}
