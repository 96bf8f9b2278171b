/** The contract on images: pulled with credentials, refused without, removed; pulls that hang or are corrupt. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import test from "node:test";
import { startRegistry, type TestRegistry } from "@knarr/testkit/start-registry.ts";
import { RuntimeError } from "../src/runtime-error.ts";
import type { ContractKit } from "./contract-kit.ts";

const credentials = { username: "robot", password: "pass:word" };

async function withRegistry(body: (registry: TestRegistry) => Promise<void>): Promise<void> {
  const data = randomBytes(400_000);
  const files = [{ type: "file" as const, path: "data", mode: 0o644, data }];
  const registry = await startRegistry({ name: "team/app", tag: "1", files, credentials });
  try {
    await body(registry);
  } finally {
    await registry.stop();
  }
}

export function imageContract(kit: ContractKit): void {
  test("pullImage() needs the registry's credentials, and what it returns names the image", async () => {
    await withRegistry(async ({ image, address }) => {
      const runtime = await kit.open();
      await assert.rejects(runtime.pullImage(image, undefined), (error) => error instanceof RuntimeError);
      const wrong = { username: "robot", password: "wrong", serverAddress: `http://${address}` };
      await assert.rejects(runtime.pullImage(image, wrong), (error) => error instanceof RuntimeError);
      assert.equal(await runtime.imageStatus(image), undefined);
      const ref = await runtime.pullImage(image, { ...credentials, serverAddress: `http://${address}` });
      const pulled = await runtime.imageStatus(ref);
      assert.ok(pulled?.repoTags.includes(image));
      assert.equal(pulled?.repoDigests.length, 1);
      const auth = Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64");
      assert.equal(await runtime.pullImage(image, { auth, serverAddress: `http://${address}` }), ref);
      await assert.rejects(
        runtime.pullImage(image.replace(/:1$/, ":absent"), { ...credentials, serverAddress: `http://${address}` }),
        (error) => error instanceof RuntimeError && error.code === "NotFound",
      );
      for (let round = 0; round < 2; round++) await runtime.removeImage(pulled?.id ?? "");
      assert.equal(await runtime.imageStatus(image), undefined);
      const [filesystem] = await runtime.imageFilesystems();
      assert.match(filesystem?.mountpoint ?? "", /^\//);
      runtime.close();
    });
  });

  test("pullImage() fails when the layer is corrupt, and the image is not there", async () => {
    await withRegistry(async (registry) => {
      const runtime = await kit.open();
      const auth = { ...credentials, serverAddress: `http://${registry.address}` };
      registry.corrupt = true;
      await assert.rejects(runtime.pullImage(registry.image, auth), (error) => error instanceof RuntimeError);
      assert.equal(await runtime.imageStatus(registry.image), undefined);
      runtime.close();
    });
  });

  test("pullImage() ends with its signal when the registry hangs", async () => {
    await withRegistry(async (registry) => {
      const runtime = await kit.open();
      registry.stall = true;
      const enough = new AbortController();
      const auth = { ...credentials, serverAddress: `http://${registry.address}` };
      const pull = runtime.pullImage(registry.image, auth, { signal: enough.signal });
      setTimeout(() => enough.abort(new Error("enough")), 500);
      await assert.rejects(pull, /enough/);
      runtime.close();
    });
  });
}
