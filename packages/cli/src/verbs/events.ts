/** `knarr events`: events, oldest first, of a namespace or an object. */
import { core } from "@knarr/api/generated/resources.ts";
import type { Event } from "@knarr/api/generated/types/core-v1.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { listOf } from "../core/output.ts";
import { splitList } from "../core/strings.ts";
import { renderTable } from "../core/table.ts";
import { ageOfEvent } from "../describe/events.ts";
import { discover } from "../discovery.ts";
import { addPrintFlags, type PrintOptions, printerOf } from "../print.ts";
import { type CliContext, CliError, type GlobalOptions, type Verb } from "../verb.ts";

interface EventsOptions extends GlobalOptions, PrintOptions {
  readonly allNamespaces?: boolean;
  readonly for?: string;
  readonly types?: string;
  readonly watch?: boolean;
  readonly headers: boolean;
}

export const events: Verb = {
  name: "events",
  register(program, context) {
    const command = program
      .command("events")
      .description("List events")
      .option("-A, --all-namespaces", "across all namespaces")
      .option("--for <type/name>", "only events about this object")
      .option("--types <types>", "Normal, Warning")
      .option("-w, --watch", "go on as events come")
      .option("--no-headers", "leave out the headings");
    addPrintFlags(command).action((_options: unknown, self: Command) =>
      runEvents(self.optsWithGlobals<EventsOptions>(), context),
    );
  },
};

async function runEvents(options: EventsOptions, context: CliContext): Promise<void> {
  const printer = printerOf(options);
  const connection = await connect(options, context);
  const { client } = connection;
  const everywhere = options.allNamespaces === true;
  const namespace = everywhere ? "" : connection.namespace;
  const fieldSelector = options.for === undefined ? undefined : await selectorFor(options.for, connection, context);
  const types = splitList(options.types);
  const wanted = (event: Event) =>
    types.length === 0 || types.some((t) => t.toLowerCase() === event.type?.toLowerCase());
  const list = await client.list(core.events, { namespace, fieldSelector, signal: context.signal });
  const items = list.items.filter(wanted).toSorted((a, b) => (timeOf(a) < timeOf(b) ? -1 : 1));
  if (items.length === 0 && options.watch !== true) {
    context.stderr.write(everywhere ? "No events found.\n" : `No events found in ${namespace} namespace.\n`);
    return;
  }
  const widths: number[] = [];
  let headings = options.headers;
  const print = (shown: readonly Event[]) => {
    if (printer !== undefined) {
      context.stdout.write(printer.render(options.watch === true ? shown[0] : listOf(shown)));
      return;
    }
    const rows = shown.map((event) => rowOf(event, everywhere));
    const titles = ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"];
    const shownTitles = everywhere ? ["NAMESPACE", ...titles] : titles;
    context.stdout.write(renderTable(rows, { widths, ...(headings ? { headings: shownTitles } : {}) }));
    headings = false;
  };
  if (items.length > 0) print(items);
  if (options.watch !== true) return;
  const { resourceVersion } = list.metadata;
  const stream = client.watch<Event>(core.events, {
    namespace,
    fieldSelector,
    resourceVersion,
    signal: context.signal,
  });
  for await (const { type, object } of stream) {
    if (type !== "DELETED" && type !== "BOOKMARK" && wanted(object)) print([object]);
  }
}

function rowOf(event: Event, everywhere: boolean): string[] {
  const { kind, name } = event.involvedObject ?? {};
  const row = [
    ageOfEvent(event, systemClock.now()),
    event.type ?? "",
    event.reason ?? "",
    `${kind ?? ""}/${name ?? ""}`,
    (event.message ?? "").trim(),
  ];
  return everywhere ? [event.metadata.namespace ?? "", ...row] : row;
}

const timeOf = (event: Event) =>
  event.series?.lastObservedTime ?? event.lastTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp ?? "";

async function selectorFor(
  text: string,
  { client }: { client: Parameters<typeof discover>[0] },
  context: CliContext,
): Promise<string> {
  const [type = "", name = "", ...more] = text.split("/");
  if (name === "" || more.length > 0) {
    throw new CliError("--for must be in resource/name form");
  }
  const resource = (await discover(client, context.signal)).resolve(type);
  const apiVersion = resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
  return `involvedObject.kind=${resource.kind},involvedObject.apiVersion=${apiVersion},involvedObject.name=${name}`;
}
