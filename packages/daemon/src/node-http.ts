/**
 * node:http, taken from Node.js directly. An `import` of it makes a namespace of everything that it exports, among them a WebSocket that it
 * only loads when somebody looks: undici, a tenth of a second and 15 MiB of memory in every daemon that has no use for it.
 */
import type * as http from "node:http";

const builtin = process.getBuiltinModule("node:http");

export const createServer: typeof http.createServer = builtin.createServer;
export const request: typeof http.request = builtin.request;
export const Agent: typeof http.Agent = builtin.Agent;
export type Agent = http.Agent;
export const ServerResponse: typeof http.ServerResponse = builtin.ServerResponse;
export type ServerResponse = http.ServerResponse;
