/**
 * `npm run check:cis`: the CIS Kubernetes Benchmark's checks that apply, against the processes that run on this machine and
 * the files that they name. Exit code 1 when one fails without a reason. Reads only; run it as root to see the files.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { parseArgs } from "node:util";
import { componentOf, type Facts, flagsOf, runChecks } from "./cis/checks.ts";

const USAGE = `usage: npm run check:cis [-- --match TEXT] [--json]
  --match TEXT   only processes with this text in their command line, for example a data directory
  --json         results as JSON
`;

function factsOf(match: string): Facts {
  const processes: Facts["processes"][number][] = [];
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    let text: string;
    try {
      text = readFileSync(`/proc/${pid}/cmdline`, "utf8");
    } catch (error) {
      // Processes come and go.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT" && (error as NodeJS.ErrnoException).code !== "ESRCH")
        throw error;
      continue;
    }
    const argv = text.split("\0");
    const component = componentOf(argv);
    if (component !== undefined && text.includes(match)) processes.push({ component, flags: flagsOf(argv) });
  }
  return { processes, stat: (path) => statSync(path, { throwIfNoEntry: false }) };
}

const { values } = parseArgs({
  options: { match: { type: "string", default: "" }, json: { type: "boolean" }, help: { type: "boolean" } },
});
if (values.help === true) {
  process.stdout.write(USAGE);
} else {
  const results = runChecks(factsOf(values.match));
  if (values.json === true) process.stdout.write(`${JSON.stringify(results, undefined, 2)}\n`);
  else {
    for (const { id, component, title, outcome } of results) {
      const why = outcome.verdict === "pass" ? "" : `\n       ${outcome.why}`;
      const word = { pass: "PASS", fail: "FAIL", explained: "NOTE" }[outcome.verdict];
      process.stdout.write(`${word}  ${id.padEnd(7)} ${component}: ${title}${why}\n`);
    }
  }
  const count = (verdict: string) => results.filter(({ outcome }) => outcome.verdict === verdict).length;
  process.stderr.write(
    `${count("pass")} passed, ${count("explained")} not met for a reason, ${count("fail")} failed\n`,
  );
  process.exitCode = count("fail") > 0 ? 1 : 0;
}
