/**
 * Asks upstream resolvers what the cluster does not know: cache, then the healthy servers in random order, TCP when an
 * answer is cut, one question at a time for all who ask the same. Never itself: see `probeLoops`.
 */
import { randomInt } from "node:crypto";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { exchangeTcp, exchangeUdp, type Upstream, UpstreamError } from "./adapters/exchange.ts";
import { AnswerCache, type CacheOptions } from "./core/cache.ts";
import { flagBits, MAX_UDP_BYTES, rcodes, types } from "./core/codes.ts";
import { decodeMessage, encodeQuery, MalformedMessageError, type Message } from "./core/message.ts";
import { encodeName } from "./core/name.ts";

export interface Question {
  /** As the client wrote it, wire form. */
  readonly name: Buffer;
  /** The same lowercased: what the cache knows it by. */
  readonly key: string;
  readonly type: number;
  readonly class: number;
  /** The client's RD and CD bits. */
  readonly flags: number;
  readonly dnssecOk: boolean;
}

export interface ForwarderOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly cache: CacheOptions;
  /** For one try of one server. */
  readonly tryTimeoutMs: number;
  /** For the whole answer; clients give up after 5 s. */
  readonly deadlineMs: number;
  readonly maxConcurrent: number;
  /** Ends checks in the background. */
  readonly signal?: AbortSignal;
  /** Told of each try, for metrics. */
  readonly onExchange?: (upstream: string, outcome: "ok" | "failed", seconds: number) => void;
  readonly onCache?: (outcome: "hit" | "miss") => void;
}

/** Nobody can be asked, or nobody answers: the code to give the client. */
export class ForwardError extends Error {
  override readonly name: string = "ForwardError";
  readonly rcode: number;
  constructor(message: string, rcode: number, cause?: unknown) {
    super(message, { cause });
    this.rcode = rcode;
  }
}

interface Server extends Upstream {
  failures: number;
  /** Is being asked in the background until it answers again. */
  checked: boolean;
}

/** From the second failure in a row on, a server is asked only when no better one is left, until it answers a check. */
const FAILURES_TO_DISTRUST = 2;
/** Source: CoreDNS' forward plugin, health_check */
const CHECK_INTERVAL_MS = 500;

export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #cache: AnswerCache;
  readonly #inFlight = new Map<string, Promise<Message>>();
  readonly #probes = new Map<string, () => void>();
  #servers: Server[] = [];

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.#cache = new AnswerCache(options.cache);
  }

  get upstreams(): readonly Upstream[] {
    return this.#servers;
  }

  get cached(): number {
    return this.#cache.size;
  }

  setUpstreams(upstreams: readonly Upstream[]): void {
    this.#servers = upstreams.map(({ host, port }) => ({ host, port, failures: 0, checked: false }));
  }

  /** Rejects with a ForwardError, and nothing else. */
  async lookup(question: Question): Promise<Message> {
    const { clock } = this.#options;
    if (question.type === types.HINFO) this.#probes.get(question.key)?.();
    const id = `${question.type} ${question.class} ${question.flags} ${question.dnssecOk} ${question.key}`;
    const cached = this.#cache.get(id, clock.now());
    this.#options.onCache?.(cached === undefined ? "miss" : "hit");
    if (cached !== undefined) return cached;
    const running = this.#inFlight.get(id);
    if (running !== undefined) return running;
    if (this.#inFlight.size >= this.#options.maxConcurrent) {
      throw new ForwardError("too many questions are being asked upstream", rcodes.SERVFAIL);
    }
    const asking = this.#ask(question)
      .then((message) => {
        this.#cache.set(id, message, clock.now());
        return message;
      })
      .finally(() => this.#inFlight.delete(id));
    this.#inFlight.set(id, asking);
    return asking;
  }

  async #ask(question: Question): Promise<Message> {
    const { clock, deadlineMs } = this.#options;
    const deadline = clock.monotonicMs() + deadlineMs;
    const servers = this.#order();
    if (servers.length === 0) throw new ForwardError("no upstream resolver", rcodes.REFUSED);
    let lastError: unknown;
    let lastMessage: Message | undefined;
    // Twice round: a single lost packet should not cost the answer.
    for (const server of [...servers, ...servers]) {
      const leftMs = deadline - clock.monotonicMs();
      if (leftMs <= 0) break;
      try {
        const message = await this.#exchange(server, question, Math.min(leftMs, this.#options.tryTimeoutMs));
        server.failures = 0;
        const rcode = message.flags & flagBits.RCODE;
        if (rcode !== rcodes.SERVFAIL && rcode !== rcodes.REFUSED) return message;
        lastMessage = message;
        if (server === servers.at(-1)) break;
      } catch (error) {
        if (!(error instanceof UpstreamError || error instanceof MalformedMessageError)) throw error;
        server.failures++;
        lastError = error;
        if (server.failures >= FAILURES_TO_DISTRUST) void this.#check(server);
      }
    }
    if (lastMessage !== undefined) return lastMessage;
    throw new ForwardError("no upstream resolver answered", rcodes.SERVFAIL, lastError);
  }

  /** Asks a distrusted server for the root's name servers until it says anything, so that no client has to find out. */
  async #check(server: Server): Promise<void> {
    if (server.checked) return;
    server.checked = true;
    const { clock, signal, tryTimeoutMs } = this.#options;
    const name = encodeName("");
    const question = { name, key: name.toString("latin1"), type: types.NS, class: 1, flags: 0, dnssecOk: false };
    try {
      while (server.failures >= FAILURES_TO_DISTRUST && this.#servers.includes(server) && signal?.aborted !== true) {
        await clock.sleep(CHECK_INTERVAL_MS, signal);
        try {
          await this.#exchange(server, question, tryTimeoutMs);
          server.failures = 0;
          this.#options.log.info({ upstream: server.host }, "upstream resolver answers again");
        } catch (error) {
          // Still silent: the next round asks again.
          if (!(error instanceof UpstreamError || error instanceof MalformedMessageError)) throw error;
        }
      }
    } catch (error) {
      // The sleep was cut short by the end of the process; anything else is a bug, and must not go unseen.
      if (signal?.aborted !== true) throw error;
    } finally {
      server.checked = false;
    }
  }

  /** Random, the distrusted ones last. */
  #order(): Server[] {
    const keyed = this.#servers.map((server) => ({ server, key: Math.random() }));
    const distrust = ({ failures }: Server) => (failures >= FAILURES_TO_DISTRUST ? 1 : 0);
    return keyed.sort((a, b) => distrust(a.server) - distrust(b.server) || a.key - b.key).map(({ server }) => server);
  }

  async #exchange(server: Server, question: Question, timeoutMs: number): Promise<Message> {
    const { clock, onExchange } = this.#options;
    const query = encodeQuery(question, {
      id: randomInt(0x10000),
      flags: question.flags & (flagBits.RD | flagBits.CD),
      udpBytes: MAX_UDP_BYTES,
      dnssecOk: question.dnssecOk,
    });
    const begun = clock.monotonicMs();
    let outcome: "ok" | "failed" = "failed";
    try {
      let message = decodeMessage(await exchangeUdp(server, query, timeoutMs));
      if ((message.flags & flagBits.TC) !== 0) message = decodeMessage(await exchangeTcp(server, query, timeoutMs));
      outcome = "ok";
      return { ...message, additionals: message.additionals.filter((record) => record.type !== types.OPT) };
    } finally {
      onExchange?.(`${server.host}:${server.port}`, outcome, (clock.monotonicMs() - begun) / 1000);
    }
  }

  /**
   * Asks each upstream for a name nobody else can know, and drops those through which the question comes back to us: they
   * forward to this server, and every unknown name would go round for ever.
   */
  async probeLoops(): Promise<void> {
    await Promise.all(this.#servers.map((server) => this.#probe(server)));
  }

  async #probe(server: Server): Promise<void> {
    const name = encodeName(`${randomInt(2 ** 47)}.${randomInt(2 ** 47)}`);
    const key = name.toString("latin1");
    this.#probes.set(key, () => {
      this.#servers = this.#servers.filter((other) => other !== server);
      this.#options.log.error({ upstream: server.host }, "upstream resolver forwards to this server; it is not used");
    });
    const question = { name, key, type: types.HINFO, class: 1, flags: flagBits.RD, dnssecOk: false };
    try {
      await this.#exchange(server, question, this.#options.tryTimeoutMs);
    } catch (error) {
      // A server that is silent now is no loop; it will be tried when it is needed.
      if (!(error instanceof UpstreamError || error instanceof MalformedMessageError)) throw error;
    } finally {
      this.#probes.delete(key);
    }
  }
}
