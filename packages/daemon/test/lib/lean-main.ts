/** What a daemon's main.ts does, reduced to how its process begins; says what became of it. */
import { dropParser, limitProcess } from "@knarr/daemon/lean-process.ts";

limitProcess({ semiSpaceMiB: 3, heapGrowingPercent: 40, smallOverFast: true });
await import("@knarr/daemon/backoff.ts");
dropParser();

const { moduleLoadList = [] } = process as { moduleLoadList?: readonly string[] };
process.stdout.write(
  JSON.stringify({
    pid: process.pid,
    flags: process.execArgv,
    args: process.argv.slice(2),
    arenas: process.env.MALLOC_ARENA_MAX,
    trimsAbove: process.env.MALLOC_TRIM_THRESHOLD_,
    hasParser: moduleLoadList.some((name) => name.includes("amaro/dist")),
    marks: Object.keys(process.env).filter((name) => name.startsWith("KNARR_")),
  }),
);
