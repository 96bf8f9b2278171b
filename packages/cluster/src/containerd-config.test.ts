import assert from "node:assert/strict";
import { test } from "node:test";
import { renderContainerdConfig } from "./containerd-config.ts";
import { clusterPaths } from "./paths.ts";

const paths = clusterPaths("/var/lib/knarr").node("node-1");
const render = (restricted: boolean) =>
  renderContainerdConfig({ paths, cniBinDir: "/opt/cni/bin", sandboxImage: "knarr.local/pause:3.10", restricted });

test("renderContainerdConfig() keeps everything of a node below its folder", () => {
  const text = render(false);
  for (const [, path] of text.matchAll(/^(?:root|state|\s+address|\s+conf_dir) = "(.*)"$/gm)) {
    assert.match(path ?? "", /^\/var\/lib\/knarr\/nodes\/node-1\//);
  }
  assert.match(text, /sandbox_image = "knarr\.local\/pause:3\.10"/);
});

test("renderContainerdConfig() changes nothing about OOM scores and runc when the machine has all capabilities", () => {
  assert.match(render(false), /restrict_oom_score_adj = false/);
  assert.doesNotMatch(render(false), /oom_score = 0|BinaryName/);
});

test("renderContainerdConfig() leaves OOM scores alone and wraps runc when CAP_SYS_RESOURCE is missing", () => {
  assert.match(render(true), /restrict_oom_score_adj = true/);
  assert.match(render(true), /^oom_score = 0$/m);
  assert.match(render(true), /BinaryName = "\/var\/lib\/knarr\/nodes\/node-1\/runc"/);
});
