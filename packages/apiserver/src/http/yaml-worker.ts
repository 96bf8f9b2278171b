/** The thread that reads large YAML bodies: text in, value or complaint out. Knows nothing of requests. */
import { parentPort } from "node:worker_threads";
import { parseYaml, YamlError } from "@knarr/apimachinery/yaml.ts";

parentPort?.on("message", ({ id, text }: { id: number; text: string }) => {
  try {
    parentPort?.postMessage({ id, ...parseYaml(text) });
  } catch (error) {
    if (!(error instanceof YamlError)) throw error;
    parentPort?.postMessage({ id, complaint: error.message });
  }
});
