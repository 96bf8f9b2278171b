/** Runs the active admission plugins over a request, in their order. */
import type { AdmissionAttributes, AdmissionEnvironment, AdmissionPlugin } from "./plugin.ts";

export class AdmissionChain {
  /** Those that have something to say in each phase. */
  readonly #mutating: readonly AdmissionPlugin[];
  readonly #validating: readonly AdmissionPlugin[];
  readonly #env: AdmissionEnvironment;

  constructor(plugins: readonly AdmissionPlugin[], env: AdmissionEnvironment) {
    this.#mutating = plugins.filter(({ admit }) => admit !== undefined);
    this.#validating = plugins.filter(({ validate }) => validate !== undefined);
    this.#env = env;
  }

  /** The mutating phase; throws what a plugin refuses with. */
  async admit(attributes: AdmissionAttributes): Promise<void> {
    for (const plugin of this.#mutating) {
      const waits = plugin.admit?.(attributes, this.#env);
      if (waits !== undefined) await waits;
    }
  }

  /** The validating phase. */
  async validate(attributes: AdmissionAttributes): Promise<void> {
    for (const plugin of this.#validating) {
      const waits = plugin.validate?.(attributes, this.#env);
      if (waits !== undefined) await waits;
    }
  }
}
