/** What `create TYPE` needs of a generator: its flags, and how the object follows from them. */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { Command } from "commander";
import { CliError, type GlobalOptions } from "../verb.ts";

export type Flags = GlobalOptions & Readonly<Record<string, unknown>>;

export interface Generator {
  /** Words after `create`: "deployment", or "secret generic". */
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly description: string;
  /** Arguments in commander's notation; "<name>" when absent. */
  readonly arguments?: string;
  readonly namespaced: boolean;
  /** What kubectl puts before a refusal of the server: "failed to create job"; nothing where it is shown as it is. */
  readonly failure?: string;
  flags(command: Command): void;
  /** Throws CliError for flags that contradict or lack something. */
  build(words: readonly string[], flags: Flags, afterDashes: readonly string[] | undefined): KubeObject;
}

/** The one name of the object. Throws in kubectl's words. */
export function nameOf(words: readonly string[]): string {
  const [name, ...more] = words;
  if (name === undefined || name === "" || more.length > 0) {
    throw new CliError(`exactly one NAME is required, got ${words.length}`);
  }
  return name;
}

export function objectOf(
  apiVersion: string,
  kind: string,
  name: string,
  rest: object,
  labels?: Record<string, string>,
): KubeObject {
  return { apiVersion, kind, metadata: { name, ...(labels === undefined ? {} : { labels }) }, ...rest } as KubeObject;
}

export const textOf = (flags: Flags, name: string): string | undefined => flags[name] as string | undefined;
export const listOf = (flags: Flags, name: string): readonly string[] => (flags[name] as string[] | undefined) ?? [];

/** Throws CliError when the flag was not given. */
export function required(flags: Flags, name: string, flag = name): string {
  const value = textOf(flags, name);
  if (value === undefined || value === "") throw new CliError(`required flag(s) "${flag}" not set`);
  return value;
}

/** An integer flag; undefined when it was not given. */
export function numberOf(flags: Flags, name: string, flag: string): number | undefined {
  const text = textOf(flags, name);
  if (text === undefined) return undefined;
  if (!/^-?\d+$/.test(text)) {
    throw new CliError(
      `invalid argument ${JSON.stringify(text)} for "--${flag}" flag: strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`,
    );
  }
  return Number(text);
}
