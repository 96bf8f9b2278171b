/**
 * Runs the long-lived parts of a daemon together: the first that fails or returns early stops the others.
 *
 * Stop order: tasks are stopped one after the other, last declared first, so that a server declared after the loops
 * that feed it drains before they go.
 */
export type Task = (signal: AbortSignal) => Promise<void>;

function isAbort(error: unknown, signal: AbortSignal): boolean {
  return signal.aborted && (error === signal.reason || (error instanceof Error && error.name === "AbortError"));
}

/**
 * Resolves when `signal` aborts and every task has ended. Rejects with the first error of a task, after the others
 * have been stopped; a task's rejection with its own signal's reason is a normal end. A task that returns while the
 * group should run is an error that names it.
 */
export async function runGroup(signal: AbortSignal, tasks: Readonly<Record<string, Task>>): Promise<void> {
  let firstError: unknown;
  let failed = false;
  const wake = Promise.withResolvers<void>();
  const running = Object.entries(tasks).map(([name, task]) => {
    const controller = new AbortController();
    const done = Promise.resolve()
      .then(() => task(controller.signal))
      .then(
        () => {
          if (!controller.signal.aborted && !signal.aborted)
            throw new Error(`task ${name} ended before it was stopped`);
        },
        (error: unknown) => {
          if (!isAbort(error, controller.signal)) throw error;
        },
      )
      .catch((error: unknown) => {
        if (!failed) {
          failed = true;
          firstError = error;
        }
        wake.resolve();
      });
    return { controller, done };
  });
  const onAbort = () => wake.resolve();
  if (signal.aborted) wake.resolve();
  else signal.addEventListener("abort", onAbort, { once: true });
  await wake.promise;
  signal.removeEventListener("abort", onAbort);
  const reason = signal.aborted ? signal.reason : new DOMException("another task of the group failed", "AbortError");
  for (const { controller, done } of running.toReversed()) {
    controller.abort(reason);
    await done;
  }
  if (failed) throw firstError;
}
