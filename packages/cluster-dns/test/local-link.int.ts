/** The link of a node-local server, in a network namespace of its own. Needs root. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { openLocalLink } from "../src/adapters/local-link.ts";

if (await isolatedTest(import.meta)) {
  const ip = (...args: string[]) => execFileSync("ip", args, { encoding: "utf8" });

  test("openLocalLink() makes a link with the addresses, takes over a left one, and removes it", async () => {
    await openLocalLink("knarr-dns", ["169.254.20.10"]);
    const close = await openLocalLink("knarr-dns", ["169.254.20.10", "fd00::53"]);
    const shown = ip("addr", "show", "dev", "knarr-dns");
    assert.match(shown, /inet 169\.254\.20\.10\/32/);
    assert.match(shown, /inet6 fd00::53\/128/);
    await close();
    assert.doesNotMatch(ip("link"), /knarr-dns/);
  });

  test("openLocalLink() leaves others' links alone", async () => {
    await assert.rejects(openLocalLink("lo", ["169.254.20.10"]), /was not made here/);
    assert.doesNotMatch(ip("addr"), /169\.254/);
  });
}
