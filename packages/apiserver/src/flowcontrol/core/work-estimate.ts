/**
 * How many seats a request takes. Pure. Lists cost by the objects they go through, writes by the watchers that hear of them.
 * Source: k8s.io/apiserver/pkg/util/flowcontrol/request
 */
import type { Work } from "./fair-queues.ts";

const OBJECTS_PER_SEAT = 100;
const WATCHES_PER_SEAT = 10;
const MAX_SEATS = 10;
const EVENT_MS = 5;

const ONE: Work = { seats: 1, finalSeats: 0, extraMs: 0 };

export interface WorkRequest {
  readonly verb: string;
  /** A single object's name, from the path or a field selector. */
  readonly name: string;
  readonly limit: number;
  /** A watch that begins with the objects that are there. */
  readonly initialEvents: boolean;
  /** Objects of the resource; undefined when nobody knows. */
  readonly objects: number | undefined;
  readonly watchers: number;
}

export function estimateWork(request: WorkRequest): Work {
  const { verb, name, limit, initialEvents, objects, watchers } = request;
  switch (verb) {
    case "list":
    case "deletecollection":
      return name !== "" ? ONE : listWork(objects, limit);
    case "watch":
      return initialEvents && name === "" ? listWork(objects, 0) : ONE;
    case "create":
    case "update":
    case "patch":
    case "delete": {
      const finalSeats = Math.min(MAX_SEATS, Math.ceil(watchers / WATCHES_PER_SEAT));
      if (watchers < WATCHES_PER_SEAT) return ONE;
      // More watchers than the seats stand for take longer.
      const extraMs = (EVENT_MS * Math.ceil(watchers / WATCHES_PER_SEAT)) / finalSeats;
      return { seats: 1, finalSeats, extraMs };
    }
    default:
      return ONE;
  }
}

function listWork(objects: number | undefined, limit: number): Work {
  // Nobody knows: the resource is not cached, or does not exist; upstream reckons with the least, too.
  const touched = objects === undefined ? 0 : limit > 0 ? Math.min(objects, limit * 2) : objects;
  const seats = Math.min(MAX_SEATS, Math.max(1, Math.ceil(touched / OBJECTS_PER_SEAT)));
  return seats === 1 ? ONE : { seats, finalSeats: 0, extraMs: 0 };
}
