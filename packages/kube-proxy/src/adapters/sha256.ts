/** SHA-256 of UTF-8 text, for the chain names that core makes. */
import { hash } from "node:crypto";
import type { Sha256 } from "../core/chain-names.ts";

export const sha256: Sha256 = (text) => hash("sha256", text, "buffer");
