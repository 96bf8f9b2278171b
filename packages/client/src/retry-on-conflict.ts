/** Repeats a read-change-write that lost a race. Source: client-go util/retry (DefaultRetry). */
import { isConflict } from "@knarr/apimachinery/status-error.ts";
import { type Clock, systemClock } from "@knarr/daemon/clock.ts";

const TRIES = 5;
const WAIT_MS = 10;

/** Calls `attempt` up to five times while it rejects with 409 Conflict; it must read the object anew each time. */
export async function retryOnConflict<R>(attempt: () => Promise<R>, clock: Clock = systemClock): Promise<R> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (!isConflict(error) || tries >= TRIES) throw error;
      await clock.sleep(WAIT_MS * (1 + 0.1 * Math.random()));
    }
  }
}
