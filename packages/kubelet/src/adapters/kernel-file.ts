/** Files below /proc and /sys that are read every second. */
import { readFileSync } from "node:fs";

/**
 * Reads one in place: the kernel makes its text from memory and never waits for a disk, and a trip through the thread pool,
 * which opening, reading and closing are one each, costs more than the reading. Throws what readFile throws.
 */
export function readKernelFile(path: string): string {
  return readFileSync(path, "utf8");
}
