#!/usr/bin/env node
// The bundle of the npm package where there is one, else these sources (Node.js 22.18 or newer runs them as they are).
import { existsSync } from "node:fs";
import { enableCompileCache } from "node:module";

enableCompileCache?.();
const bundle = new URL("../dist/main.js", import.meta.url);
await import(existsSync(bundle) ? bundle.href : new URL("../src/main.ts", import.meta.url).href);
