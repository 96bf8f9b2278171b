/**
 * WATCH: frames from the cache, written as they come. Over HTTP as chunked JSON lines, over a WebSocket as one message
 * per event. Ends at its deadline, with the server, or with the client.
 */
import { randomInt } from "node:crypto";
import { isExpired, type StatusError } from "@knarr/apimachinery/status-error.ts";
import { drained } from "../http/chunk-writer.ts";
import { negotiate, PROTOBUF_TYPE, type Representation } from "../http/media-type.ts";
import { baseHeaders, breakOff, flushHeaders, toStatusError, writeHead } from "../http/respond.ts";
import { LAST_CHUNK, SharedPieces } from "../http/shared-pieces.ts";
import { acceptWebSocket, sendMessage } from "../http/web-socket.ts";
import { errorEventOf } from "../storage/object-event.ts";
import type { ObjectWatch } from "../storage/types.ts";
import { EventRenderer } from "../tables/event-renderer.ts";
import type { ResourceRequest } from "./environment.ts";
import { type ListQuery, parseListQuery } from "./list-options.ts";
import { storageOf } from "./write.ts";

export async function watchObjects(request: ResourceRequest): Promise<void> {
  const { context, env, resource, namespace } = request;
  const representation = negotiate(context.header("accept"), { stream: true });
  const query = parseListQuery(context.query, resource, { namespace, name: request.name, watch: true });
  const timeoutMs = watchTimeoutMs(query, env.config.minRequestTimeout);
  const end = AbortSignal.any([context.signal, env.stopping]);
  const watch = await openWatch(request, query, end, env.clock.now() + timeoutMs);
  const cancel = env.clock.setTimeout(() => watch.close(), timeoutMs);
  watch.onDropped?.(() => {
    env.log.info({ path: context.path }, "a watcher that does not read is cut off");
    breakOff(context);
  });
  const labels = labelsOf(request);
  env.metrics.watchers.inc(labels);
  try {
    const sink =
      context.upgrade === undefined ? httpSink(request, representation) : await webSocketSink(request, representation);
    if (query.sendInitialEvents !== true) context.onWatchInitialized?.();
    await pump(request, watch, sink, representation);
  } finally {
    cancel();
    watch.close();
    env.metrics.watchers.dec(labels);
  }
}

function labelsOf(request: ResourceRequest): { group: string; version: string; kind: string } {
  const { group, version, kind } = request.resource.descriptor.ref;
  return { group, version, kind };
}

/** Unasked, a watch lives between one and two times --min-request-timeout, so that clients don't come back all at once. */
function watchTimeoutMs(query: ListQuery, minimumSeconds: number): number {
  const asked = query.timeoutSeconds ?? 0;
  // Below zero its time is up at once, as upstream's context says.
  return asked !== 0 ? Math.max(0, asked) * 1000 : (minimumSeconds + randomInt(Math.max(1, minimumSeconds))) * 1000;
}

async function openWatch(
  request: ResourceRequest,
  query: ListQuery,
  signal: AbortSignal,
  deadlineMs: number,
): Promise<ObjectWatch> {
  const open = () =>
    storageOf(request).watch({
      ...query.selector,
      ...(query.resourceVersion === undefined ? {} : { resourceVersion: query.resourceVersion }),
      resourceVersionMatch: query.resourceVersionMatch,
      ...(query.sendInitialEvents === undefined ? {} : { sendInitialEvents: query.sendInitialEvents }),
      allowBookmarks: query.allowWatchBookmarks,
      deadlineMs,
      signal,
    });
  try {
    return await open();
  } catch (error) {
    // Source: etcd3 watcher: a version that is too old is said inside the stream, with code 200 outside.
    if (!isExpired(error)) throw error;
    return failedWatch(error as StatusError);
  }
}

/** A watch that says one error and ends. */
function failedWatch(error: StatusError): ObjectWatch {
  const event = errorEventOf(error.status);
  return {
    close() {},
    async *[Symbol.asyncIterator]() {
      yield [event];
    },
  };
}

interface Sink {
  /** Writes frames; false when the client is gone. Waits while the client is slow. */
  write(frames: readonly Buffer[]): Promise<boolean>;
  end(): void;
}

/** Of all watches. A piece is short enough to be no burden when one of its readers is slow. */
const pieces = new SharedPieces();
/** Frames that are written together. */
const GROUP_BYTES = 64 * 1024;

/** Where a group that begins at `from` ends: as many frames as fit, one at least. */
function groupEnd(frames: readonly Buffer[], from: number): number {
  let bytes = 0;
  let to = from;
  while (to < frames.length && (to === from || bytes + (frames[to]?.length ?? 0) <= GROUP_BYTES)) {
    bytes += frames[to]?.length ?? 0;
    to++;
  }
  return to;
}

function httpSink(request: ResourceRequest, representation: Representation): Sink {
  const { context } = request;
  // Source: apiserver handlers/watch.go: every stream but JSON's says that it is one.
  const { contentType } = representation;
  writeHead(
    context,
    200,
    baseHeaders(context, contentType === PROTOBUF_TYPE ? `${contentType};stream=watch` : contentType),
  );
  flushHeaders(context);
  const { response, signal } = context;
  const isChunked = "chunkedEncoding" in response && response.chunkedEncoding;
  // From here on the chunks are made by us, once for all watchers.
  if (isChunked) response.chunkedEncoding = false;
  return {
    async write(frames) {
      for (let from = 0; from < frames.length; ) {
        if (signal.aborted) return false;
        const to = groupEnd(frames, from);
        const group = from === 0 && to === frames.length ? frames : frames.slice(from, to);
        if (!response.write(pieces.of(group, isChunked)) && !(await drained(context, response))) return false;
        from = to;
      }
      return true;
    },
    end: () => (isChunked ? response.end(LAST_CHUNK) : response.end()),
  };
}

async function webSocketSink(request: ResourceRequest, representation: Representation): Promise<Sink> {
  const socket = await acceptWebSocket(request.context);
  const binary = representation.contentType === PROTOBUF_TYPE;
  return {
    async write(frames) {
      for (const frame of frames) {
        // One event per message, without the line feed or the length that separates them on HTTP.
        const event = binary ? frame.subarray(4) : frame.subarray(0, -1);
        if (!(await sendMessage(socket, event, binary))) return false;
      }
      return true;
    },
    end: () => socket.close(1000),
  };
}

async function pump(
  request: ResourceRequest,
  watch: ObjectWatch,
  sink: Sink,
  representation: Representation,
): Promise<void> {
  const { env } = request;
  const sent = env.metrics.watchEvents.of(labelsOf(request));
  const renderer = new EventRenderer(request, representation);
  try {
    for await (const events of watch) {
      sent.count += events.length;
      if (!(await sink.write(events.map((event) => renderer.frame(event))))) return;
      // The first batch holds the initial events; later calls do nothing.
      request.context.onWatchInitialized?.();
    }
  } catch (error) {
    const { status } = toStatusError(error);
    if (!isExpired(error)) env.log.warn({ err: error, path: request.context.path }, "watch failed");
    await sink.write([renderer.frame(errorEventOf(status))]);
  }
  sink.end();
}
