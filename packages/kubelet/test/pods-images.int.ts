/** Images pulled from a registry that works, wants credentials, breaks, lies or hangs. */
import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { core } from "@knarr/api/generated/resources.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { testImages } from "@knarr/testkit/images/test-images.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { type FakeRegistry, startFakeRegistry } from "./fake-registry.ts";
import { shell, statusOf, TestNode, WAIT } from "./test-node.ts";

if (await isolatedTest(import.meta)) {
  let node: TestNode;
  let registry: FakeRegistry;
  before(async () => {
    const busybox = (await testImages()).find((i) => i.name === "knarr.local/busybox:1");
    assert.ok(busybox !== undefined);
    registry = await startFakeRegistry(busybox);
    node = await TestNode.start({ subnet: "10.88.33.0/24" });
  });
  after(async () => {
    await node.stop();
    await registry.stop();
  });

  const from = (image: string, more = {}) => ({
    containers: [{ ...shell("main", WAIT), image: `${registry.address}/${image}`, ...more }],
  });
  const reason = (pod: Pod) => statusOf(pod, "main").state?.waiting?.reason;
  const PATIENCE_MS = 120_000;

  test("an absent image is pulled, with events that tell how long it took; Always asks again, IfNotPresent does not", async () => {
    registry.set("good", "none");
    await node.create("good", from("good:1"));
    const pod = await node.until("good", "is ready", (p) => statusOf(p, "main").ready, PATIENCE_MS);
    assert.equal(statusOf(pod, "main").image, `${registry.address}/good:1`);
    assert.match(statusOf(pod, "main").imageID, new RegExp(`^${registry.address}/good@sha256:[0-9a-f]{64}$`));
    await node.untilEvent("good", "Pulling", `Pulling image "${registry.address}/good:1"`);
    const pulled = await node.untilEvent("good", "Pulled");
    assert.match(
      pulled.message ?? "",
      /^Successfully pulled image ".*" in .*s \(.*s including waiting\)\. Image size: \d+ bytes\.$/,
    );
    await node.remove("good");
    const asked = registry.pulls.get("good") ?? 0;
    await node.create("present", from("good:1"));
    await node.ready("present");
    assert.equal(registry.pulls.get("good"), asked);
    await node.untilEvent(
      "present",
      "Pulled",
      `Container image "${registry.address}/good:1" already present on machine and can be accessed by the pod`,
    );
    await node.create("always", from("good:1", { imagePullPolicy: "Always" }));
    await node.ready("always");
    assert.ok((registry.pulls.get("good") ?? 0) > asked);
    await node.remove("present");
    await node.remove("always");
  });

  test("a private image wants the pod's pull secret", async () => {
    registry.set("private", "private");
    await node.create("denied", { ...from("private:1"), imagePullSecrets: [{ name: "absent" }, { name: "lost" }] });
    await node.untilEvent(
      "denied",
      "FailedToRetrieveImagePullSecret",
      "Unable to retrieve some image pull secrets (absent, lost); attempting to pull the image may not succeed.",
    );
    await node.until("denied", "is refused", (p) => reason(p) === "ErrImagePull", PATIENCE_MS);
    await node.until("denied", "backs off", (p) => reason(p) === "ImagePullBackOff", PATIENCE_MS);
    await node.remove("denied");
    const auths = { [registry.address]: { username: "me", password: "secret" } };
    await node.client.create(core.secrets, {
      metadata: { name: "pull", namespace: "default" },
      type: "kubernetes.io/dockerconfigjson",
      data: { ".dockerconfigjson": Buffer.from(JSON.stringify({ auths })).toString("base64") },
    });
    await node.create("allowed", { ...from("private:1"), imagePullSecrets: [{ name: "pull" }] });
    await node.until("allowed", "is ready", (p) => statusOf(p, "main").ready, PATIENCE_MS);
    // The image is there now, but only for those who could have pulled it; a restarted kubelet knows that too.
    await node.kubelet.restart();
    await node.create("thief", from("private:1"));
    await node.until(
      "thief",
      "is refused",
      (p) => /^(ErrImagePull|ImagePullBackOff)$/.test(reason(p) ?? ""),
      PATIENCE_MS,
    );
    await node.create("friend", { ...from("private:1"), imagePullSecrets: [{ name: "pull" }] });
    await node.until("friend", "is ready", (p) => statusOf(p, "main").ready, PATIENCE_MS);
    const reasons = (await node.events("friend")).map((e) => e.reason);
    assert.ok(!reasons.includes("Pulling"), reasons.join(" "));
    for (const name of ["allowed", "thief", "friend"]) await node.remove(name);
  });

  test("a pull that fails or brings wrong bytes is tried again until it is right", async () => {
    registry.set("broken", "broken");
    registry.set("corrupt", "corrupt");
    await node.create("broken", from("broken:1"));
    await node.create("corrupt", from("corrupt:1"));
    for (const name of ["broken", "corrupt"]) {
      const pod = await node.until(name, "backs off", (p) => reason(p) === "ImagePullBackOff", PATIENCE_MS);
      const image = `${registry.address}/${name}:1`;
      assert.ok(
        statusOf(pod, "main").state?.waiting?.message?.startsWith(`Back-off pulling image "${image}": ErrImagePull: `),
      );
      registry.set(name, "none");
    }
    for (const name of ["broken", "corrupt"]) {
      await node.until(name, "is ready", (p) => statusOf(p, "main").ready, PATIENCE_MS);
      await node.remove(name);
    }
  });

  test("a pod whose pull hangs can be deleted, and keeps its turn from nobody afterwards", async () => {
    registry.set("hang", "hang");
    registry.set("other", "none");
    await node.create("hang", from("hang:1"));
    await node.untilEvent("hang", "Pulling");
    await node.create("other", from("other:1"));
    await node.remove("hang");
    await node.until("other", "is ready", (p) => statusOf(p, "main").ready, PATIENCE_MS);
    await node.remove("other");
  });

  test("a name that is no image name waits with InvalidImageName", async () => {
    await node.create("invalid", from("UPPER:1"));
    const pod = await node.until("invalid", "complains", (p) => reason(p) === "InvalidImageName");
    assert.match(statusOf(pod, "main").state?.waiting?.message ?? "", /couldn't parse image name/);
    await node.untilEvent("invalid", "InspectFailed");
    await node.remove("invalid");
  });
}
