/**
 * What happened while pods were in flight, once for all of them: a pod whose volumes are made for minutes must not keep a list
 * of its own of everything that the cluster did meanwhile.
 *
 *   events  e0 e1 e2 e3 e4        pod A began before e0, pod B before e3: A sees all, B sees e3 and e4;
 *           ^A       ^B           when A ends, e0 to e2 are nobody's any more
 */
import type { ClusterEvent } from "./cluster-event.ts";

interface Flight {
  /** Number of the first event that it sees. */
  readonly from: number;
  own: ClusterEvent[] | undefined;
}

/** Events that are nobody's are removed once there are so many. */
const MAX_STALE = 256;

export class FlightLog {
  /** In the order in which they began. */
  readonly #flights = new Map<string, Flight>();
  #events: ClusterEvent[] = [];
  /** Number of the first one in `#events`. */
  #first = 0;

  get size(): number {
    return this.#events.length;
  }

  begin(id: string): void {
    this.#flights.delete(id);
    this.#flights.set(id, { from: this.#first + this.#events.length, own: undefined });
  }

  tellAll(event: ClusterEvent): void {
    if (this.#flights.size > 0) this.#events.push(event);
  }

  /** An event that concerns one pod only. */
  tell(id: string, event: ClusterEvent): void {
    const flight = this.#flights.get(id);
    if (flight === undefined) return;
    flight.own ??= [];
    flight.own.push(event);
  }

  /** What the pod has seen; undefined when it is not in flight. */
  end(id: string): readonly ClusterEvent[] | undefined {
    const flight = this.#flights.get(id);
    if (flight === undefined) return undefined;
    const seen = this.#events.slice(flight.from - this.#first);
    this.#flights.delete(id);
    this.#forget();
    return flight.own === undefined ? seen : [...flight.own, ...seen];
  }

  #forget(): void {
    const [oldest] = this.#flights.values();
    const stale = oldest === undefined ? this.#events.length : oldest.from - this.#first;
    if (oldest !== undefined && stale < MAX_STALE) return;
    this.#first += stale;
    this.#events = this.#events.slice(stale);
  }
}
