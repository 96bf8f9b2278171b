/**
 * `npm run bench:controllers`: how fast the controllers work, how quiet they are, beside yardsticks of the same run.
 * Needs etcd, no root, no containers: nodes are played. What is measured and how: docs/benchmarks/controllers.md.
 */
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { startControllersBench } from "./bench/controllers/environment.ts";
import { fillUp } from "./bench/controllers/fill-up.ts";
import {
  createDeployment,
  deleteNamespace,
  type Figure,
  handover,
  idle,
  loseNode,
  rollout,
} from "./bench/controllers/parts.ts";

const USAGE = `usage: npm run bench:controllers [-- --replicas N --objects N --nodes N --idle-seconds N --only PART,...]
  --replicas N      of the one big Deployment (default 1000)
  --objects N       in the namespace that is deleted (default 5000)
  --nodes N         that are played (default 100)
  --idle-seconds N  for how long idle use is measured (default 60)
  --only PARTS      some of deployment,namespace,rollout,loss,idle,handover (default all)
`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      replicas: { type: "string", default: "1000" },
      objects: { type: "string", default: "5000" },
      nodes: { type: "string", default: "100" },
      "idle-seconds": { type: "string", default: "60" },
      only: { type: "string", default: "deployment,namespace,rollout,loss,idle,handover" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true) {
    process.stdout.write(USAGE);
    return;
  }
  const parts = new Set(values.only.split(","));
  const say = (text: string) => void process.stderr.write(`${text}\n`);
  say(`load average ${loadavg()[0]?.toFixed(2)}`);
  const bench = await startControllersBench();
  const figures: Figure[] = [];
  const run = async (name: string, part: () => Promise<Figure[]>) => {
    if (!parts.has(name)) return;
    for (const figure of await part()) {
      figures.push(figure);
      say(`${figure.name}: ${figure.value} (${figure.yardstick})`);
    }
  };
  try {
    await run("deployment", () => createDeployment(bench, Number(values.replicas)));
    await run("namespace", () => deleteNamespace(bench, Number(values.objects)));
    await bench.nodes.add(Number(values.nodes));
    bench.nodes.play();
    await run("rollout", () => rollout(bench, 100));
    await run("loss", () => loseNode(bench, 100));
    // With the rollout's and the lost node's pods: about a thousand.
    if (parts.has("idle")) await fillUp(bench.client, 1000);
    await run("idle", () => idle(bench, Number(values["idle-seconds"]) * 1000));
    await run("handover", () => handover(bench));
  } finally {
    await bench.stop();
  }
  process.stdout.write(`\n| what | measured | beside |\n| --- | --- | --- |\n`);
  for (const { name, value, yardstick } of figures) process.stdout.write(`| ${name} | ${value} | ${yardstick} |\n`);
}

try {
  await main();
} catch (error) {
  process.stderr.write(`bench:controllers: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
