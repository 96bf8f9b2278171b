/**
 * `npm run fuzz -- --seconds N --seed S [--shot INDEX]`: starts an etcd and an API server and fuzzes it. Prints a table
 * of surfaces and codes, and each finding with the seed and index that bring it back. Exit code 1 with findings.
 */
import { parseArgs } from "node:util";
import { fuzzServer } from "./fuzz-server.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    shot: { type: "string" },
  },
});
const seed = Number(values.seed);
process.stdout.write(`seed ${seed}\n`);
const report = await fuzzServer({
  seed,
  seconds: Number(values.seconds),
  ...(values.shot === undefined ? {} : { shot: Number(values.shot) }),
});
for (const [surface, codes] of Object.entries(report.answers).sort()) {
  const counts = Object.entries(codes).map(([code, count]) => `${code}:${count}`);
  process.stdout.write(`${surface.padEnd(12)} ${counts.join(" ")}\n`);
}
const p99 = report.bystanderMs[Math.floor(report.bystanderMs.length * 0.99)] ?? 0;
process.stdout.write(
  `${report.shots} shots, bystander p99 ${p99.toFixed(1)} ms, memory at most ${report.peakMiB} MiB, ` +
    `${report.findings.length} findings, ${report.loggedErrors.length} errors logged\n`,
);
process.stdout.write(`slowest: ${report.slowest.map(({ index, ms }) => `#${index} ${ms.toFixed(0)} ms`).join(", ")}\n`);
for (const finding of report.findings) {
  const { shot } = finding;
  process.stdout.write(
    `\n#${finding.index} ${shot.surface} ${shot.method} ${shot.path.slice(0, 200)}\n  ${finding.what}\n`,
  );
  if (shot.body !== undefined) process.stdout.write(`  ${shot.body.toString().slice(0, 600)}\n`);
}
for (const line of report.loggedErrors.slice(0, 20)) process.stdout.write(`${line.slice(0, 1_500)}\n`);
process.exitCode = report.findings.length + report.loggedErrors.length > 0 ? 1 : 0;
