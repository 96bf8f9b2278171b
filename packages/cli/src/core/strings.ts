/** Small things about texts that several verbs need. */

/** The entries of a map in the order of their keys, as Go prints maps. */
export function sortByName(map: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** `web,api` from a list; the text itself where it holds none. */
export function splitList(text: string | undefined): string[] {
  return (text ?? "").split(",").filter((part) => part !== "");
}
