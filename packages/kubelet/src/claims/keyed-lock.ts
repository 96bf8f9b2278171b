/** One at a time for each key; who wants several gets them together. */
export class KeyedLock {
  readonly #last = new Map<string, Promise<void>>();

  /** Runs `work` while nobody else holds any of the keys. */
  async hold<T>(keys: readonly string[], work: () => Promise<T>): Promise<T> {
    // All places in the queues are taken at once: nobody can wait for one who waits for him.
    const before = keys.map((key) => this.#last.get(key));
    const { promise: done, resolve } = Promise.withResolvers<void>();
    for (const key of keys) this.#last.set(key, done);
    try {
      await Promise.all(before);
      return await work();
    } finally {
      for (const key of keys) if (this.#last.get(key) === done) this.#last.delete(key);
      resolve();
    }
  }
}
