/** node:http without what an `import` of it loads besides: see packages/daemon/src/node-http.ts, which this layer has no other use for. */
import type * as http from "node:http";

const builtin = process.getBuiltinModule("node:http");

export const createServer: typeof http.createServer = builtin.createServer;
export const request: typeof http.request = builtin.request;
export const Agent: typeof http.Agent = builtin.Agent;
