/** The yardstick: the same requests by a bare client with many in flight. */

const IN_FLIGHT = 64;

/** Calls per second of `count` calls. */
export async function rateOf(count: number, call: (index: number) => Promise<unknown>): Promise<number> {
  let next = 0;
  const startedMs = performance.now();
  const lane = async () => {
    while (next < count) await call(next++);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
  return count / ((performance.now() - startedMs) / 1000);
}
