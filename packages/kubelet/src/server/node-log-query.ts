/**
 * What ?query= of /logs asks for: services whose journal or log file is wanted, or one file below /var/log. Pure.
 * Source: KEP-2258; k8s.io/kubernetes/pkg/kubelet/kubelet_server_journal.go
 */

export interface NodeLogQuery {
  readonly services: readonly string[];
  readonly files: readonly string[];
  readonly sinceTime: string | undefined;
  readonly untilTime: string | undefined;
  readonly tailLines: number | undefined;
  readonly boot: number | undefined;
  readonly pattern: string | undefined;
}

const MAX_TAIL_LINES = 100_000;
const MAX_SERVICES = 4;
const MAX_SERVICE_LENGTH = 256;
/** What a service may be called, so that its name is nothing else on a command line. */
const SERVICE = /^[a-zA-Z\-_0-9@]+$/;
const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

export class QueryError extends Error {}

/** Undefined when nothing is asked: then /logs serves files. Throws QueryError with every complaint. */
export function parseNodeLogQuery(query: URLSearchParams): NodeLogQuery | undefined {
  const complaints: string[] = [];
  const invalid = (field: string, value: string, why: string) =>
    complaints.push(`${field}: Invalid value: ${value}: ${why}`);
  const asked = query.getAll("query");
  const files = asked.filter((one) => /[/\\]/.test(one));
  const services = asked.filter((one) => !/[/\\]/.test(one) && one.trim() !== "");
  if (asked.length > 0 && files.length + services.length === 0) {
    invalid("query", JSON.stringify(asked), "query cannot be empty");
  }
  const time = (name: string) => {
    const text = query.get(name) || undefined;
    if (text === undefined) return undefined;
    if (!RFC3339.test(text) || Number.isNaN(Date.parse(text)))
      invalid(name, JSON.stringify(text), "invalid time format");
    return text;
  };
  const integer = (name: string) => {
    const text = query.get(name) || undefined;
    if (text === undefined) return undefined;
    if (/^[+-]?\d{1,18}$/.test(text)) return Number(text);
    invalid(name, JSON.stringify(text), `strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
    return undefined;
  };
  const result: NodeLogQuery = {
    services,
    files,
    sinceTime: time("sinceTime"),
    untilTime: time("untilTime"),
    tailLines: integer("tailLines"),
    boot: integer("boot"),
    pattern: query.get("pattern") || undefined,
  };
  if (complaints.length === 0 && asked.length === 0 && !hasOptions(result)) return undefined;
  if (complaints.length === 0) validate(result, invalid, complaints);
  if (complaints.length > 0) throw new QueryError(aggregate(complaints));
  return result;
}

export function hasOptions({ sinceTime, untilTime, tailLines, boot, pattern }: NodeLogQuery): boolean {
  return [sinceTime, untilTime, tailLines, boot, pattern].some((one) => one !== undefined);
}

function validate(
  query: NodeLogQuery,
  invalid: (field: string, value: string, why: string) => void,
  complaints: string[],
): void {
  const { services, files, sinceTime, untilTime, tailLines, boot, pattern } = query;
  for (const service of services) {
    if (service.length > MAX_SERVICE_LENGTH) invalid("query", JSON.stringify(service), "length must be less than 100");
    else if (!SERVICE.test(service)) invalid("query", JSON.stringify(service), "input contains unsupported characters");
  }
  if (services.length > MAX_SERVICES) {
    complaints.push(`query: Too many: ${services.length}: must have at most ${MAX_SERVICES} items`);
  }
  const list = `[${files.map((file) => JSON.stringify(file)).join(",")}]`;
  if (files.length + services.length === 0) complaints.push("query: Required value: cannot be empty with options");
  else if (files.length > 0 && services.length > 0) {
    invalid(
      "query",
      JSON.stringify(`[${files.join(" ")}], [${services.join(" ")}]`),
      "cannot specify a file and service",
    );
  } else if (files.length > 1) invalid("query", list, "cannot specify more than one file");
  else if (files.length === 1 && hasOptions(query)) invalid("query", list, "cannot specify file with options");
  if (sinceTime !== undefined && untilTime !== undefined && Date.parse(sinceTime) > Date.parse(untilTime)) {
    invalid("untilTime", JSON.stringify(untilTime), "must be after `sinceTime`");
  }
  if (boot !== undefined && boot > 0) invalid("boot", String(boot), "must be less than 1");
  if (tailLines !== undefined && (tailLines < 0 || tailLines > MAX_TAIL_LINES)) {
    invalid("tailLines", String(tailLines), `must be between 0 and ${MAX_TAIL_LINES}, inclusive`);
  }
  if (pattern !== undefined && !isPattern(pattern)) {
    invalid("pattern", JSON.stringify(pattern), "error parsing regexp");
  }
}

function isPattern(text: string): boolean {
  try {
    new RegExp(text);
    return true;
  } catch {
    // Not a regular expression: the caller says so.
    return false;
  }
}

/** Source: k8s.io/apimachinery/pkg/util/errors aggregate.Error */
function aggregate(complaints: readonly string[]): string {
  const unique = [...new Set(complaints)];
  return unique.length === 1 ? (unique[0] ?? "") : `[${unique.join(", ")}]`;
}

/** journalctl's arguments; every value is a word of its own, and none can be read as another flag. */
export function journalArguments(query: NodeLogQuery, services: readonly string[]): string[] {
  const { sinceTime, untilTime, tailLines, boot, pattern } = query;
  return [
    "--utc",
    "--no-pager",
    "--output=short-precise",
    ...(sinceTime === undefined ? [] : [`--since=${journalTime(sinceTime)}`]),
    ...(untilTime === undefined ? [] : [`--until=${journalTime(untilTime)}`]),
    ...services.map((service) => `--unit=${service}`),
    ...(tailLines === undefined ? [] : [`--lines=${tailLines}`]),
    ...(pattern === undefined ? [] : [`--grep=${pattern}`]),
    `--boot=${boot ?? 0}`,
  ];
}

/** journalctl runs with --utc, and reads times without a zone as such. */
function journalTime(text: string): string {
  return new Date(text).toISOString().slice(0, 19).replace("T", " ");
}
