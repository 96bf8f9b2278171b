/** `npm run help`: what can be run here, a line each. */
const lines: readonly [command: string, does: string][] = [
  ["scripts/up", "install what is missing, start a two-node cluster (same as: npx knarr up --nodes 2)"],
  ["scripts/test", "install what is missing, then check, unit, integration and end-to-end tests"],
  ["npm run knarr -- VERB", "the command line from the sources: get, apply, logs, exec, up, down, status, ..."],
  ["npm run check", "types, lint and layers"],
  ["npm test", "unit tests (seconds)"],
  ["npm run test:int [-- PART]", "integration tests with real etcd, containerd and network namespaces (root)"],
  ["npm run test:e2e [-- PART]", "a real two-node cluster as its users see it (root)"],
  [
    "npm run test:compose",
    "docker compose up on an engine of its own: builds the image, kills every container (root, minutes)",
  ],
  ["npm run bench", "the figures of docs/benchmarks.md"],
  [
    "npm run bench:AREA",
    "api, authz, controllers, dns, fairness, pods, proxy, scheduler, start, volumes: docs/benchmarks/AREA.md",
  ],
  ["npm run generate", "regenerate the API's field tables and types from the Go sources that Debian ships"],
  ["npm run fix", "format and apply safe lint fixes"],
];
const width = Math.max(...lines.map(([command]) => command.length));
for (const [command, does] of lines) process.stdout.write(`${command.padEnd(width)}  ${does}\n`);
