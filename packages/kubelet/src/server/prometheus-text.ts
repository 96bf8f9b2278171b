/** Renders families of samples in the Prometheus text format, for what is measured when asked and not counted. Pure. */

export type LabelValues = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels: LabelValues;
  readonly value: number;
  /** Milliseconds of the epoch. */
  readonly atMs?: number;
}

export class MetricFamily {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge";
  readonly #samples: Sample[] = [];

  constructor(name: string, type: "counter" | "gauge", help: string) {
    this.name = name;
    this.type = type;
    this.help = help;
  }

  /** An undefined value is not there, and leaves no sample. */
  add(labels: LabelValues, value: number | undefined, atMs?: number): void {
    if (value === undefined || !Number.isFinite(value)) return;
    this.#samples.push({ labels, value, ...(atMs === undefined ? {} : { atMs: Math.round(atMs) }) });
  }

  /** "" without samples, as Go's registries do. */
  render(): string {
    if (this.#samples.length === 0) return "";
    const lines = this.#samples.map(({ labels, value, atMs }) => {
      const time = atMs === undefined ? "" : ` ${atMs}`;
      return `${this.name}${renderLabels(labels)} ${value}${time}\n`;
    });
    return `# HELP ${this.name} ${this.help}\n# TYPE ${this.name} ${this.type}\n${lines.join("")}`;
  }
}

/** By name, as Go's registries do. */
export function renderFamilies(families: readonly MetricFamily[]): string {
  return families
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map((family) => family.render())
    .join("");
}

function renderLabels(labels: LabelValues): string {
  const names = Object.keys(labels).sort();
  if (names.length === 0) return "";
  return `{${names.map((name) => `${name}="${escaped(labels[name] ?? "")}"`).join(",")}}`;
}

function escaped(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}
