/**
 * --token-auth-file: lines of `token,user,uid,"group1,group2"`, read once at start.
 * Source: docs reference/access-authn-authz/authentication#static-token-file
 */
import { hash } from "node:crypto";
import type { Authentication, TokenAuthenticator, UserInfo } from "./types.ts";

export class StaticTokenAuthenticator implements TokenAuthenticator {
  /** By SHA-256, so that a look-up takes no longer for a token that begins like a good one. */
  readonly #users: ReadonlyMap<string, UserInfo>;

  /** Good tokens that were shown, by themselves: a digest costs more than all else here. At most as many as the file has. */
  readonly #seen = new Map<string, UserInfo>();

  constructor(users: ReadonlyMap<string, UserInfo>) {
    this.#users = users;
  }

  authenticateToken(token: string, audiences: readonly string[]): Authentication | undefined {
    const user = this.#seen.get(token) ?? this.#users.get(digest(token));
    if (user === undefined) return undefined;
    this.#seen.set(token, user);
    return { user, audiences };
  }
}

/** Reads the file's text. Throws an Error naming the line. */
export function parseTokenFile(text: string): StaticTokenAuthenticator {
  const users = new Map<string, UserInfo>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const [token = "", name = "", uid = "", groups = ""] = csvFields(line);
    if (token === "" || name === "")
      throw new Error(`line ${index + 1}: must have at least token, user name and user uid`);
    const list = groups.split(",").filter((group) => group !== "");
    users.set(digest(token), Object.freeze({ name, uid, groups: list, extra: {} }));
  }
  return new StaticTokenAuthenticator(users);
}

/** Fields of one CSV line. Source: RFC 4180 2 */
function csvFields(line: string): string[] {
  const fields: string[] = [];
  const field = /\s*(?:"((?:[^"]|"")*)"|([^,]*))(,|$)/y;
  while (field.lastIndex < line.length || fields.length === 0) {
    const match = field.exec(line);
    if (match === null) break;
    fields.push(match[1]?.replaceAll('""', '"') ?? (match[2] ?? "").trim());
    if (match[3] === "") break;
  }
  return fields;
}

function digest(token: string): string {
  return hash("sha256", token, "base64");
}
