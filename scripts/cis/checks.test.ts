import assert from "node:assert/strict";
import { test } from "node:test";
import { componentOf, type Facts, flagsOf, runChecks } from "./checks.ts";

const stat: Facts["stat"] = () => ({ mode: 0o600, uid: 0, gid: 0 });
const verdictOf = (facts: Facts, id: string, component: string) =>
  runChecks(facts).find((result) => result.id === id && result.component === component)?.outcome.verdict;
const api = (...argv: string[]): Facts => ({ processes: [{ component: "apiserver", flags: flagsOf(argv) }], stat });

test("flagsOf() reads both ways of writing a flag", () => {
  assert.deepEqual(
    [...flagsOf(["x", "--a=b=c", "--d", "e", "--f", "-g", "h"])],
    [
      ["a", "b=c"],
      ["d", "e"],
      ["f", "true"],
      ["g", "h"],
    ],
  );
});

test("componentOf() knows upstream's binaries and this repository's, but not what only starts them", () => {
  assert.equal(componentOf(["/usr/bin/kube-apiserver", "--a"]), "apiserver");
  assert.equal(componentOf(["node", "/opt/packages/kubelet/src/main.ts"]), "kubelet");
  assert.equal(componentOf(["nsenter", "--net=x", "node", "/opt/packages/kubelet/src/main.ts"]), undefined);
  assert.equal(componentOf(["bash"]), undefined);
});

test("runChecks() passes, fails and explains", () => {
  assert.equal(verdictOf(api("--authorization-mode=Node,RBAC"), "1.2.8", "apiserver"), "pass");
  assert.equal(verdictOf(api("--authorization-mode=AlwaysAllow"), "1.2.8", "apiserver"), "fail");
  assert.equal(verdictOf(api("--token-auth-file=x"), "1.2.2", "apiserver"), "fail");
  assert.equal(verdictOf(api(), "1.2.27", "apiserver"), "explained");
  assert.equal(verdictOf(api(), "2.1", "etcd"), "fail");
});

test("runChecks() takes the worst of several processes, and looks at files", () => {
  const kubelet = (flags: string) => ({ component: "kubelet" as const, flags: flagsOf([flags]) });
  const two: Facts = {
    processes: [kubelet("--authorization-mode=Webhook"), kubelet("--authorization-mode=AlwaysAllow")],
    stat,
  };
  assert.equal(verdictOf(two, "4.2.2", "kubelet"), "fail");
  const open: Facts = { processes: [kubelet("--kubeconfig=/k")], stat: () => ({ mode: 0o644, uid: 0, gid: 0 }) };
  assert.equal(verdictOf(open, "4.1.5", "kubelet"), "fail");
});
