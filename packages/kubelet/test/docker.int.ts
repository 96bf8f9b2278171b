/** The tests of pods and of streams once more, on Docker Engine: pods must not tell which runtime they run on. */
process.env.KNARR_TEST_RUNTIME = "docker";
await import("./pods.int.ts");
await import("./streams.int.ts");
