/** Runs the active admission plugins over a request, in their order. */
import type { AdmissionAttributes, AdmissionEnvironment, AdmissionPlugin } from "./plugin.ts";

export class AdmissionChain {
  readonly #plugins: readonly AdmissionPlugin[];
  readonly #env: AdmissionEnvironment;

  constructor(plugins: readonly AdmissionPlugin[], env: AdmissionEnvironment) {
    this.#plugins = plugins;
    this.#env = env;
  }

  /** The mutating phase; throws what a plugin refuses with. */
  async admit(attributes: AdmissionAttributes): Promise<void> {
    for (const plugin of this.#plugins) await plugin.admit?.(attributes, this.#env);
  }

  /** The validating phase. */
  async validate(attributes: AdmissionAttributes): Promise<void> {
    for (const plugin of this.#plugins) await plugin.validate?.(attributes, this.#env);
  }
}
