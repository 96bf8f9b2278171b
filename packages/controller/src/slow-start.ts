/**
 * Many like requests in batches of 1, 2, 4, ...: when the first ones fail (quota, admission), the rest is not sent.
 * Source: kubernetes/pkg/controller/replicaset slowStartBatch
 */

/**
 * Calls `send` for 0 .. count-1 until a batch had a failure. Resolves with the number of successes and the first error;
 * never rejects.
 */
export async function slowStart(
  count: number,
  send: (index: number) => Promise<void>,
): Promise<{ readonly succeeded: number; readonly error?: unknown }> {
  let succeeded = 0;
  let next = 0;
  for (let size = Math.min(1, count); size > 0; size = Math.min(2 * size, count - next)) {
    const batch = Array.from({ length: size }, (_, i) => send(next + i));
    next += size;
    const results = await Promise.allSettled(batch);
    const failed = results.filter((result) => result.status === "rejected");
    succeeded += size - failed.length;
    if (failed.length > 0) return { succeeded, error: failed[0]?.reason };
  }
  return { succeeded };
}
