/** Unmodified kubectl, the oldest and the newest at hand, against objects that need no nodes. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { useApiserver } from "./api-harness.ts";

const run = promisify(execFile);
const h = useApiserver();

/** kubectl on PATH, and versions beside where it really lies. */
function kubectls(): string[] {
  const onPath = (process.env.PATH ?? "").split(delimiter).map((dir) => join(dir, "kubectl"));
  const found = onPath.find((path) => existsSync(path));
  if (found === undefined) return [];
  const folder = dirname(realpathSync(found));
  return [found, ...["kubectl.1.27"].map((name) => join(folder, name)).filter((path) => existsSync(path))];
}

interface Step {
  readonly args: string;
  /** What standard output must match. */
  readonly want?: RegExp;
  /** What standard error must match; the command must fail. */
  readonly fails?: RegExp;
  readonly env?: Record<string, string>;
}

const steps: readonly Step[] = [
  { args: "create ns NS", want: /namespace\/NS created/ },
  { args: "-n NS create sa default", want: /created/ },
  { args: "-n NS create configmap a --from-literal=x=1", want: /configmap\/a created/ },
  { args: "-n NS create secret generic s --from-literal=p=1", want: /created/ },
  { args: "-n NS create deployment web --image=nginx --replicas=2", want: /created/ },
  { args: "-n NS create service nodeport web --tcp=80:8080", want: /created/ },
  { args: "-n NS get deploy,svc,cm,secret -o wide", want: /deployment\.apps\/web +0\/2/ },
  { args: "-n NS get svc web", want: /NodePort +10\..* 80:3\d+\/TCP/ },
  { args: "-n NS scale deployment web --replicas=3", want: /scaled/ },
  { args: "-n NS get deploy web -o jsonpath={.spec.replicas}/{.metadata.generation}", want: /^3\/2$/ },
  { args: "-n NS label cm a k=v", want: /labeled/ },
  { args: "-n NS annotate cm a k=v", want: /annotate/ },
  { args: '-n NS patch cm a -p {"data":{"y":"2"}}', want: /patched/ },
  { args: '-n NS patch cm a --type=json -p [{"op":"remove","path":"/data/y"}]', want: /patched/ },
  { args: '-n NS patch cm a --type=merge -p {"data":{"z":null}}', want: /no change/ },
  { args: "-n NS set image deployment/web nginx=nginx:2", want: /image updated/ },
  { args: "-n NS run p --image=busybox -- sleep 1", want: /created/ },
  { args: "-n NS get pods", want: /p +0\/1 +Pending/ },
  { args: "-n NS describe pod p", want: /Service Account: +default/ },
  { args: "-n NS describe svc web", want: /Type: +NodePort/ },
  { args: "-n NS describe deploy web", want: /Replicas: +3 desired/ },
  { args: "-n NS edit cm a", want: /edited/, env: { KUBE_EDITOR: `sed -i s/x:.*/x:\\ \\"9\\"/` } },
  { args: "-n NS get cm a -o jsonpath={.data.x}", want: /^9$/ },
  { args: "-n NS delete pod p", want: /deleted/ },
  { args: "-n NS wait --for=delete pod/p --timeout=5s" },
  { args: "-n NS wait --for=jsonpath={.data.x}=9 cm/a --timeout=5s", want: /condition met/ },
  { args: "-n NS apply -f GOOD", want: /created/ },
  { args: "-n NS apply -f GOOD", want: /unchanged/ },
  { args: "-n NS diff -f GOOD" },
  { args: "-n NS diff -f CHANGED", fails: /^$/ },
  { args: "-n NS apply -f CHANGED", want: /configured/ },
  { args: "-n NS apply --server-side -f CHANGED --force-conflicts", want: /serverside-applied/ },
  {
    args: "-n NS apply --server-side --field-manager=other -f GOOD",
    fails: /Apply failed with \d conflicts?: conflict/,
  },
  { args: "-n NS apply -f UNKNOWN", fails: /strict decoding error: unknown field "foo"/ },
  { args: "-n NS apply --validate=ignore -f UNKNOWN", want: /created/ },
  { args: "-n NS apply -f TYPE", fails: /cannot unmarshal number into Go struct field ConfigMap\.data of type string/ },
  { args: "-n NS create -f GOOD --dry-run=server", fails: /already exists/ },
  { args: "-n NS replace -f GOOD", want: /replaced/ },
  { args: "explain deployment.spec.replicas", want: /replicas <integer>/ },
  { args: "explain pod.spec.containers --recursive", want: /imagePullPolicy/ },
  { args: "-n NS get all", want: /deployment\.apps\/web/ },
  { args: "-n NS auth can-i create pods", want: /yes/ },
  { args: "-n NS auth can-i create pods --as=nobody", fails: /^$/ },
  {
    args: "-n NS get pods --as=nobody",
    fails: /User "nobody" cannot list resource "pods" in API group "" in the namespace "NS"/,
  },
  { args: "-n NS create role r --verb=get --resource=pods", want: /created/ },
  { args: "-n NS create rolebinding rb --role=r --user=nobody", want: /created/ },
  { args: "-n NS get pod none --as=nobody", fails: /pods "none" not found/ },
  { args: "-n NS create token default", want: /^ey/ },
  { args: "-n NS create quota q --hard=pods=3", want: /created/ },
  { args: "-n NS create job j --image=busybox", want: /job\.batch\/j created/ },
  { args: "-n NS create cronjob c --image=busybox --schedule=@daily", want: /created/ },
  { args: "-n NS create ingress i --rule=a.example/=web:80", want: /created/ },
  { args: "-n NS autoscale deployment web --max=5", want: /autoscaled/ },
  { args: "-n NS create pdb b --selector=app=web --min-available=1", want: /created/ },
  { args: "-n NS get job,cronjob,ingress,hpa,pdb,quota", want: /ingress\.networking\.k8s\.io\/i/ },
  { args: "-n NS rollout history deployment web" },
  { args: "-n NS rollout pause deployment web", want: /paused/ },
  { args: "-n NS expose deployment web --name=web2 --port=80", want: /exposed/ },
  { args: "-n NS get events", want: /^$/ },
  { args: "create priorityclass pc-NS --value=10", want: /created/ },
  { args: "create clusterrole cr-NS --verb=get --resource=nodes", want: /created/ },
  { args: "get ns,clusterrole,priorityclass", want: /system-node-critical/ },
  { args: "api-resources -o name", want: /^deployments\.apps$/m },
  { args: "api-versions", want: /^apps\/v1$/m },
  { args: "cluster-info", want: /control plane/ },
  { args: "version -o json", want: /"minor": "36"/ },
  { args: "get --raw /readyz", want: /^ok/ },
  { args: "get componentstatuses", want: /etcd-0 +Healthy/ },
  { args: "-n NS get cm -l k=v -o name", want: /^configmap\/a$/m },
  { args: "-n NS get cm --field-selector metadata.name=a -o name", want: /^configmap\/a\n$/ },
  { args: "-n NS delete cm --all", want: /"a" deleted/ },
  { args: "delete ns NS --wait=false", want: /deleted/ },
  { args: "get ns NS", want: /Terminating/ },
];

const map = (data: string, extra = "") =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied}\n${extra}data: {a: ${data}}\n`;

async function manifests(): Promise<Record<string, string>> {
  const files: Record<string, string> = {
    GOOD: map('"1"'),
    CHANGED: map('"2"'),
    UNKNOWN: map('"1"', "foo: 1\n").replace("applied", "unknown"),
    TYPE: map("3").replace("applied", "typed"),
  };
  const paths: Record<string, string> = {};
  for (const [name, text] of Object.entries(files)) {
    paths[name] = join(h.api.dir, `${name}.yaml`);
    await writeFile(paths[name] ?? "", text);
  }
  return paths;
}

const binaries = kubectls();
if (binaries.length === 0) {
  test("kubectl", { skip: process.env.CI === undefined ? "no kubectl on PATH" : false }, () =>
    assert.fail("no kubectl on PATH"),
  );
}
for (const [index, binary] of binaries.entries()) {
  test(`${binary} runs ${steps.length} commands`, async () => {
    const paths = await manifests();
    const namespace = `t${index}`;
    const fill = (text: string) =>
      text.replace(/\bNS\b/g, namespace).replace(/\b(GOOD|CHANGED|UNKNOWN|TYPE)\b/g, (name) => paths[name] ?? name);
    for (const step of steps) {
      const args = step.args.split(" ").map(fill);
      const env = { ...process.env, ...step.env, KUBECONFIG: h.api.kubeconfig };
      const outcome = await run(binary, args, { env, timeout: 30_000 }).then(
        ({ stdout }) => ({ ok: true, stdout, stderr: "" }),
        (error: { stdout: string; stderr: string }) => ({ ok: false, stdout: error.stdout, stderr: error.stderr }),
      );
      const shown = `${step.args}\n${outcome.stdout}\n${outcome.stderr}`;
      assert.equal(outcome.ok, step.fails === undefined, shown);
      if (step.want !== undefined)
        assert.match(outcome.stdout, new RegExp(fill(step.want.source), step.want.flags), shown);
      if (step.fails !== undefined) assert.match(outcome.stderr, new RegExp(fill(step.fails.source)), shown);
    }
  });
}
