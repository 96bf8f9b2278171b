/** Reads the stream of a pull: JSON messages, one a line, of which the last word may be an error. Pure. */
import type { PullProgress } from "../runtime.ts";

interface PullMessage {
  readonly id?: string;
  readonly status?: string;
  readonly error?: string;
  readonly progressDetail?: { readonly current?: number; readonly total?: number };
}

interface Layer {
  current: number;
  total: number;
  done: boolean;
}

const DONE = new Set(["Pull complete", "Already exists"]);

export class PullReader {
  readonly #layers = new Map<string, Layer>();
  #rest = "";
  #error: string | undefined;

  /** The engine's words when the pull has failed. */
  get error(): string | undefined {
    return this.#error;
  }

  get progress(): PullProgress {
    const layers = [...this.#layers.values()];
    const sum = (of: (layer: Layer) => number) => layers.reduce((total, layer) => total + of(layer), 0);
    return {
      layers: layers.length,
      layersDone: layers.filter((layer) => layer.done).length,
      bytes: sum((layer) => layer.total),
      bytesDone: sum((layer) => layer.current),
    };
  }

  push(chunk: string): void {
    const lines = (this.#rest + chunk).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#line(line);
  }

  end(): void {
    this.#line(this.#rest);
    this.#rest = "";
  }

  #line(line: string): void {
    if (line.trim() === "") return;
    let message: PullMessage;
    try {
      message = JSON.parse(line) as PullMessage;
    } catch {
      return; // Progress is for people; only an error, which is well formed, would count.
    }
    if (message.error !== undefined) this.#error = message.error;
    const { id, status = "", progressDetail } = message;
    if (id === undefined || status.startsWith("Pulling from")) return;
    const layer = this.#layers.get(id) ?? { current: 0, total: 0, done: false };
    this.#layers.set(id, layer);
    if (status === "Downloading") {
      layer.current = progressDetail?.current ?? layer.current;
      layer.total = progressDetail?.total ?? layer.total;
    }
    if (status === "Download complete" || DONE.has(status)) layer.current = layer.total;
    if (DONE.has(status)) layer.done = true;
  }
}
