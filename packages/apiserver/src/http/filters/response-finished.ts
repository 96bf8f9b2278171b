/** Waits for the end of a response that goes on after its handler returned (streams, upgrades). */
import type { RequestContext } from "../request-context.ts";

export function finished(context: RequestContext): Promise<void> {
  const stream = context.upgrade === undefined ? context.response : context.upgrade.socket;
  if (stream.destroyed || ("writableFinished" in stream && stream.writableFinished)) return Promise.resolve();
  return new Promise((resolve) => {
    stream.once("close", resolve);
    stream.once("finish", resolve);
  });
}
