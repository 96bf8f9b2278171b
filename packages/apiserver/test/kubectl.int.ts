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

/** The newest at hand, and the oldest beside where the one on PATH really lies. */
function kubectls(): string[] {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const onPath = folders.map((dir) => join(dir, "kubectl")).find((path) => existsSync(path));
  const newest = ["/usr/local/lib/knarr/bin/kubectl-1.36", onPath].find(
    (path) => path !== undefined && existsSync(path),
  );
  const oldest = onPath === undefined ? undefined : join(dirname(realpathSync(onPath)), "kubectl.1.27");
  return [newest, oldest].filter((path): path is string => path !== undefined && existsSync(path));
}

interface Step {
  readonly args: string;
  /** What standard output must match. */
  readonly want?: RegExp;
  /** What standard error must match; the command must fail. */
  readonly fails?: RegExp;
  readonly env?: Record<string, string>;
  /** A version that asks for API versions which are gone. */
  readonly notIn?: string;
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
  { args: "-n NS wait --for=delete pod/p --timeout=60s" },
  { args: "-n NS wait --for=jsonpath={.data.x}=9 cm/a --timeout=60s", want: /condition met/ },
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
  { args: "-n NS create -f FAMILIES", want: /statefulset\.apps\/f created/ },
  { args: "-n NS apply -f FAMILIES", want: /daemonset\.apps\/f (configured|unchanged)/ },
  { args: "-n NS get -f FAMILIES", want: /networkpolicy\.networking\.k8s\.io\/f/ },
  { args: "-n NS describe -f FAMILIES", want: /Name: +f/ },
  { args: "-n NS get sts,ds,rs,rc,ep,endpointslices,limits,netpol,pvc,podtemplates,leases,csistoragecapacities" },
  { args: "get pv,sc,csidrivers,csinodes,volumeattachments,volumeattributesclasses,runtimeclasses,ingressclasses" },
  { args: "get servicecidrs,ipaddresses,flowschemas,prioritylevelconfigurations", want: /kubernetes +10\./ },
  { args: "get deviceclasses,resourceslices,csr,nodes,clusterrolebindings" },
  { args: "-n NS get resourceclaims,resourceclaimtemplates,controllerrevisions" },
  { args: "-n NS get sts f -o custom-columns=R:.spec.replicas,P:.spec.podManagementPolicy", want: /1 +OrderedReady/ },
  { args: "-n NS get pvc f --output=go-template={{.spec.volumeMode}}", want: /^Filesystem$/ },
  { args: "-n NS get cm,sa -o name --chunk-size=1", want: /serviceaccount\/default/ },
  { args: "-n NS get cm a -o yaml --show-managed-fields", want: /manager: kubectl-create/ },
  { args: "get ns --sort-by=.metadata.creationTimestamp --no-headers", want: /^default/m },
  { args: "get roles,rolebindings -A", want: /kube-system/ },
  { args: "-n NS rollout resume deployment web", want: /resumed/ },
  { args: "-n NS rollout restart deployment web", want: /restarted/ },
  { args: "-n NS set env deployment/web A=1", want: /env updated/ },
  { args: "-n NS set resources deployment web --limits=cpu=200m", want: /resource requirements updated/ },
  { args: "-n NS set serviceaccount deployment web default", want: /serviceaccount updated/ },
  { args: "-n NS set selector svc web a=b", want: /selector updated/ },
  { args: "-n NS get deploy web --subresource=status -o jsonpath={.spec.replicas}", want: /^3$/ },
  {
    args: '-n NS patch deploy web --subresource=scale --type=merge -p {"spec":{"replicas":2}}',
    want: /scaled|patched/,
  },
  { args: "-n NS get deploy web --subresource=scale -o jsonpath={.spec.replicas}", want: /^2$/ },
  { args: "-n NS apply set-last-applied -f GOOD --create-annotation", want: /configured|unchanged/ },
  { args: "-n NS apply view-last-applied cm applied", want: /kind: ConfigMap/ },
  { args: "-n NS create secret tls t --cert=CERT --key=KEY", want: /created/ },
  { args: "-n NS create secret docker-registry d --docker-username=u --docker-password=p", want: /created/ },
  { args: "-n NS create service externalname x --external-name=a.example", want: /created/ },
  { args: "-n NS create service headless h --clusterip=None", fails: /unknown (command|flag)/ },
  { args: "-n NS create service clusterip h --clusterip=None --tcp=80", want: /created/ },
  { args: "-n NS get svc h x", want: /ExternalName +<none> +a\.example/ },
  { args: '-n NS run q --image=busybox --overrides={"spec":{"nodeName":"n1"}}', want: /created/ },
  { args: "-n NS exec q -- true", fails: /(nodes? "n1" not found|error dialing backend)/ },
  { args: "-n NS logs q", fails: /(nodes? "n1" not found|error dialing backend|dial)/ },
  { args: "-n NS debug q --image=busybox --attach=false -q", want: /^/ },
  { args: "-n NS get pod q -o jsonpath={.spec.ephemeralContainers[0].image}", want: /^busybox$/ },
  { args: "-n NS delete pod q --grace-period=0 --force", want: /force deleted/ },
  { args: "taint nodes none a=b:NoSchedule", fails: /nodes "none" not found/ },
  { args: "create -f NODE", want: /node\/knNS created/ },
  { args: "cordon knNS", want: /cordoned/ },
  { args: "taint nodes knNS a=b:NoSchedule", want: /tainted/ },
  { args: "get node knNS -o wide", want: /SchedulingDisabled/ },
  { args: "describe node knNS", want: /a=b:NoSchedule/ },
  { args: "drain knNS --ignore-daemonsets", want: /drained/ },
  { args: "uncordon knNS", want: /uncordoned/ },
  { args: "delete node knNS", want: /deleted/ },
  { args: "certificate approve none", fails: /"none" not found/ },
  { args: "auth whoami", want: /kubernetes-admin/, notIn: "1.27" },
  { args: "-n NS auth can-i --list", want: /\*\.\*/ },
  { args: "-n NS auth reconcile -f ROLE", want: /role.*reconciled/ },
  { args: "top nodes", fails: /Metrics API not available|metrics/ },
  { args: "get --raw /api/v1/namespaces/NS/configmaps/a", want: /"kind":"ConfigMap"/ },
  { args: "get --raw /livez?verbose", want: /\[\+\]ping ok/ },
  { args: "get --raw /metrics", want: /^apiserver_request_total/m },
  { args: "get --raw /openapi/v3", want: /apis\/apps\/v1/ },
  { args: "-n NS get cm none", fails: /configmaps "none" not found/ },
  { args: "-n NS get nothing", fails: /the server doesn't have a resource type "nothing"/ },
  { args: "-n NS create deployment web --image=i", fails: /already exists/ },
  { args: "-n NS get events --watch --request-timeout=3s", want: /^/ },
  { args: "-n NS wait --for=condition=Available deploy/web --timeout=1s", fails: /timed out/ },
  { args: "-n NS delete -f FAMILIES --wait=false", want: /deleted/ },
  { args: "-n NS delete cm --all", want: /"a" deleted/ },
  { args: "delete ns NS --wait=false", want: /deleted/ },
  { args: "get ns NS", want: /Terminating/ },
];

const map = (data: string, extra = "") =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied}\n${extra}data: {a: ${data}}\n`;

const template = `template: {metadata: {labels: {f: f}}, spec: {containers: [{name: c, image: busybox}]}}`;
const selector = "selector: {matchLabels: {f: f}}";
/** One of each namespaced family that no command makes. */
const families = [
  `apiVersion: apps/v1\nkind: StatefulSet\nspec: {serviceName: f, ${selector}, ${template}}`,
  `apiVersion: apps/v1\nkind: DaemonSet\nspec: {${selector}, ${template}}`,
  `apiVersion: apps/v1\nkind: ReplicaSet\nspec: {${selector}, ${template}}`,
  `apiVersion: v1\nkind: ReplicationController\nspec: {replicas: 1, ${template}}`,
  `apiVersion: v1\nkind: PodTemplate\n${template}`,
  `apiVersion: v1\nkind: LimitRange\nspec: {limits: [{type: Container, default: {cpu: "1"}, defaultRequest: {cpu: 10m}}]}`,
  `apiVersion: v1\nkind: PersistentVolumeClaim\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}`,
  `apiVersion: v1\nkind: Endpoints\nsubsets: [{addresses: [{ip: 10.1.2.3}], ports: [{port: 80}]}]`,
  `apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\nendpoints: [{addresses: [10.1.2.3]}]\nports: [{port: 80}]`,
  `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nspec: {podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}`,
  `apiVersion: coordination.k8s.io/v1\nkind: Lease\nspec: {holderIdentity: f}`,
  `apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nrules: [{apiGroups: [""], resources: [pods], verbs: [get]}]`,
].map((text) => `${text}\nmetadata: {name: f}\n`);

async function manifests(namespace: string): Promise<Record<string, string>> {
  const files: Record<string, string> = {
    FAMILIES: families.join("---\n"),
    // kubectl 1.36 does not default the namespace here.
    ROLE: families.at(-1)?.replace("name: f", `name: f, namespace: ${namespace}`) ?? "",
    NODE: `apiVersion: v1\nkind: Node\nmetadata: {name: kn${namespace}}\n`,
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
  const { pki } = h.api;
  await pki.issue("kubectl-tls", { commonName: "tls.example" });
  return { ...paths, CERT: pki.path("kubectl-tls.crt"), KEY: pki.path("kubectl-tls.key") };
}

const binaries = kubectls();
if (binaries.length === 0) {
  test("kubectl", { skip: process.env.CI === undefined ? "no kubectl on PATH" : false }, () =>
    assert.fail("no kubectl on PATH"),
  );
}
for (const [index, binary] of binaries.entries()) {
  test(`${binary} runs ${steps.length} commands`, async () => {
    const namespace = `t${index}`;
    const paths = await manifests(namespace);
    const fill = (text: string) =>
      text
        .replace(/(?<![A-Z])NS\b/g, namespace)
        .replace(/\b(FAMILIES|ROLE|NODE|CERT|KEY|GOOD|CHANGED|UNKNOWN|TYPE)\b/g, (name) => paths[name] ?? name);
    const wrong: string[] = [];
    for (const step of steps) {
      if (step.notIn !== undefined && binary.endsWith(step.notIn)) continue;
      const args = step.args.split(" ").map(fill);
      const env = { ...process.env, ...step.env, KUBECONFIG: h.api.kubeconfig };
      const outcome = await run(binary, args, { env, timeout: 120_000 }).then(
        ({ stdout }) => ({ ok: true, stdout, stderr: "" }),
        (error: { stdout: string; stderr: string }) => ({ ok: false, stdout: error.stdout, stderr: error.stderr }),
      );
      const matches = (text: string, pattern: RegExp | undefined) =>
        pattern === undefined || new RegExp(fill(pattern.source), pattern.flags).test(text);
      const isRight =
        outcome.ok === (step.fails === undefined) &&
        matches(outcome.stdout, step.want) &&
        matches(outcome.stderr, step.fails);
      if (!isRight) wrong.push(`${step.args}\n${outcome.stdout}\n${outcome.stderr}`);
    }
    assert.deepEqual(wrong, []);
  });
}
