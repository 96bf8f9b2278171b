/**
 * Which forwarder answers a name: that of the most specific stub domain it lies in, or the one for everything else.
 * A stub domain is a private zone with name servers of its own. Source: kube-dns stubDomains, CoreDNS server blocks
 */
import { nameKey } from "./core/name.ts";
import type { Forwarder } from "./forwarder.ts";

export class Forwarders {
  readonly #default: Forwarder;
  /** Most specific first, as wire-form keys. */
  readonly #stubs: readonly { readonly key: string; readonly forwarder: Forwarder }[];

  constructor(everythingElse: Forwarder, stubDomains: ReadonlyMap<string, Forwarder> = new Map()) {
    this.#default = everythingElse;
    const stubs = Array.from(stubDomains, ([domain, forwarder]) => ({ key: nameKey(domain), forwarder }));
    this.#stubs = stubs.sort((a, b) => b.key.length - a.key.length);
  }

  /** `labels` are the offsets at which labels of the key begin. */
  of({ key, labels }: { readonly key: string; readonly labels: readonly number[] }): Forwarder {
    const stub = this.#stubs.find((s) => key.endsWith(s.key) && labels.includes(key.length - s.key.length));
    return stub?.forwarder ?? this.#default;
  }
}
