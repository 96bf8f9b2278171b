/** Named start-up steps: /readyz fails until each has been done once. */
import type { HealthChecks } from "@knarr/daemon/health-server.ts";

/** Source: names of upstream's post-start hooks, which tools look for in ?verbose. */
export const STARTUP_STEPS = [
  "start-system-namespaces-controller",
  "bootstrap-controller",
  "start-service-ip-repair-controllers",
  "rbac/bootstrap-roles",
  "priority-and-fairness-config-producer",
] as const;
export type StartupStep = (typeof STARTUP_STEPS)[number];

export class StartupChecks {
  readonly #done = new Set<StartupStep>();

  /** What to call when the step is done. */
  done(step: StartupStep): () => void {
    return () => this.#done.add(step);
  }

  checks(): HealthChecks {
    return Object.fromEntries(
      STARTUP_STEPS.map((step) => [`poststarthook/${step}`, () => (this.#done.has(step) ? undefined : "not finished")]),
    );
  }
}
