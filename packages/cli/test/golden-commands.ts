/** The command lines of golden.int.ts, in the order in which they run; each finds what the ones before it left. */

export interface Case {
  readonly line: string;
  readonly stdin?: string;
  /** Why knarr prints something else on purpose. */
  readonly differs?: string;
  /** The exit code of knarr where that differs too. */
  readonly code?: number;
}

export const files: Readonly<Record<string, string>> = {
  "config.yaml":
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\n  labels: {app: web}\ndata:\n  color: blue\n  size: '3'\n",
  "config-2.yaml":
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\n  labels: {app: web}\ndata:\n  color: red\n",
  "web.yaml": `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: main
        image: example.com/web:1
        ports: [{containerPort: 8080, name: http}]
        resources: {requests: {cpu: 100m, memory: 64Mi}}
        env: [{name: MODE, value: fast}]
---
apiVersion: v1
kind: Service
metadata: {name: web, labels: {app: web}}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
`,
  "pod.yaml":
    "apiVersion: v1\nkind: Pod\nmetadata: {name: one, labels: {app: one}}\nspec:\n  nodeName: node-1\n  containers: [{name: main, image: 'busybox:1'}]\n",
  "wrong.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: Wrong_Name}\nspec:\n  containers: [{name: main}]\n",
  "unknown.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndatum: {a: b}\n",
  "nokind.yaml": "apiVersion: v1\nmetadata: {name: x}\n",
  "rich.yaml": `apiVersion: v1
kind: Pod
metadata:
  name: rich
  labels: {app: rich, tier: a}
  annotations: {note: short, long: "${"x".repeat(200)}"}
spec:
  nodeName: node-1
  priorityClassName: high
  nodeSelector: {disk: ssd}
  securityContext: {seccompProfile: {type: RuntimeDefault}}
  tolerations: [{key: a, operator: Equal, value: b, effect: NoSchedule}, {operator: Exists}]
  topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: rich}}}]
  readinessGates: [{conditionType: example.com/ready}]
  initContainers: [{name: first, image: 'busybox:1', command: [sh, -c, "echo\\nhi"]}]
  containers:
  - name: main
    image: example.com/main:1
    args: [serve, --port=80]
    ports: [{containerPort: 80, name: http}, {containerPort: 53, protocol: UDP}]
    resources: {limits: {cpu: 500m, memory: 128Mi}, requests: {cpu: 100m}}
    envFrom: [{configMapRef: {name: settings}}, {secretRef: {name: token, optional: true}, prefix: T_}]
    env:
    - {name: PLAIN, value: x}
    - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}
    - {name: SECRET, valueFrom: {secretKeyRef: {name: token, key: password}}}
    - {name: CONFIG, valueFrom: {configMapKeyRef: {name: settings, key: color, optional: true}}}
    livenessProbe: {httpGet: {path: /live, port: http}, periodSeconds: 5}
    readinessProbe: {exec: {command: [test, -f, /ready]}}
    startupProbe: {tcpSocket: {port: 80}}
    volumeMounts: [{name: data, mountPath: /data}, {name: settings, mountPath: /etc/settings, readOnly: true, subPath: color}]
  volumes:
  - {name: data, emptyDir: {}}
  - {name: settings, configMap: {name: settings}}
  - {name: token, secret: {secretName: token}}
  - {name: host, hostPath: {path: /tmp}}
  - {name: claim, persistentVolumeClaim: {claimName: data}}
  - {name: info, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}
`,
  "many.yaml": `apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: db, image: db}]}}
  volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template: {metadata: {labels: {app: agent}}, spec: {nodeSelector: {a: b}, containers: [{name: agent, image: agent}]}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress, Egress]
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}, {ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}], ports: [{port: 80}]}]
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: disk}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /tmp/disk}, storageClassName: manual}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}, storageClassName: manual}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: fast, annotations: {a: b}}
provisioner: example.com/disk
parameters: {type: ssd}
mountOptions: [noatime]
---
apiVersion: v1
kind: LimitRange
metadata: {name: limits}
spec: {limits: [{type: Container, max: {memory: 1Gi}}]}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: nginx}
spec: {controller: example.com/ingress}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: slice, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.1.2.3], conditions: {ready: true}, nodeName: node-1, targetRef: {kind: Pod, name: one}}]
ports: [{name: "", port: 8080, protocol: TCP}]
`,
  "env.txt": "A=1\n# comment\nB=two words\n",
  "plain.txt": "hello\n",
};

const line = (text: string): Case => ({ line: text });

export const cases: readonly Case[] = [
  // --- reading
  ...[
    "get namespaces",
    "get ns default -o name",
    "get pods",
    "get pods -A",
    "get nodes",
    "get node node-1 -o wide",
    "get pods,services",
    "get nothing",
    "get",
    "get pod one two/three",
    "get pods nope",
    "get pods nope --ignore-not-found",
    "get pods -o bogus",
    "get services kubernetes -o jsonpath='{.spec.ports[0].port}'",
    "get ns -o custom-columns=NAME:.metadata.name,PHASE:.status.phase",
    "get ns --no-headers -o custom-columns=NAME:.metadata.name",
    "get ns -o go-template='{{range .items}}{{.metadata.name}} {{end}}'",
    "get ns --sort-by=.metadata.name",
    "get ns --show-labels",
    "get ns -L kubernetes.io/metadata.name",
    "get --raw /version/nope",
    "get --raw /healthz",
    "get componentstatuses -o name",
  ].map(line),
  // --- creating
  ...[
    "create -f config.yaml",
    "create -f config.yaml",
    "get cm settings -o yaml",
    "get cm settings -o json",
    "get cm -l app=web",
    "get cm -l app=nope",
    "get cm settings -o jsonpath='{.data}'",
    "get cm settings -o kyaml",
    "create -f wrong.yaml",
    "create -f unknown.yaml",
    "create -f nokind.yaml",
    "create -f missing.yaml",
    "create",
    "create namespace shop",
    "create ns shop",
    "create configmap literal --from-literal=a=1 --from-literal=b=2",
    "create configmap fromenv --from-env-file=env.txt -o yaml --dry-run=client",
    "create configmap fromfile --from-file=plain.txt --from-file=other=plain.txt",
    "get cm fromfile -o jsonpath='{.data.other}'",
    "create secret generic token --from-literal=password=hunter2",
    "get secret token -o jsonpath='{.data.password}'",
    "create secret docker-registry reg --docker-username=u --docker-password=p --docker-server=example.com",
    "create secret generic x --dry-run=client -o yaml --from-literal=a=b --type=example.com/t",
    "create serviceaccount robot",
    "create deployment nginx --image=nginx:1 --replicas=3 --port=80",
    "create deployment x --image=y --dry-run=client -o yaml",
    "create deployment x --dry-run=client",
    "create deployment",
    "create job once --image=busybox -- echo hi",
    "create cronjob often --image=busybox --schedule='*/5 * * * *' -- date",
    "create cronjob broken --image=busybox --schedule='nope'",
    "create role reader --verb=get,list --resource=pods,services",
    "create role reader2 --verb=get --resource=deployments.apps/scale --resource-name=web",
    "create role bad --verb=get --resource=nonsense",
    "create clusterrole seer --verb=get --non-resource-url=/metrics",
    "create rolebinding rb --role=reader --user=jane --serviceaccount=default:robot",
    "create clusterrolebinding crb --clusterrole=seer --group=admins",
    "create quota q --hard=pods=5,requests.cpu=2",
    "create priorityclass high --value=1000 --description='above others'",
    "create poddisruptionbudget pdb --selector=app=web --min-available=50%",
    "create service clusterip plain --tcp=80:8080",
    "create service nodeport np --tcp=80:8080 --dry-run=client -o yaml",
    "create service externalname ext --external-name=example.com",
    "create ingress ing --rule='example.com/*=web:80,tls=cert'",
    "get ingress ing -o yaml",
    "create token robot --duration=nope",
    "create --dry-run=nope -f config.yaml",
    "create serviceaccount robot",
    "create configmap literal --from-literal=a=1",
    "create secret generic token --from-literal=password=x",
    "create deployment nginx --image=nginx:1",
    "create role reader --verb=get --resource=pods",
    "create rolebinding rb --role=reader --user=jane",
    "create service clusterip plain --tcp=80:8080",
    "create quota q --hard=pods=5",
    "create token nope",
    "create -f pod.yaml",
    "get pods",
    "get pods -o wide",
    "get pod one -o name",
    "get all",
    "get deploy,cm",
  ].map(line),
  // --- applying
  ...[
    "apply -f config-2.yaml",
    "apply -f config-2.yaml",
    "get cm settings -o jsonpath='{.data}'",
    "apply -f web.yaml",
    "apply -f web.yaml",
    "apply -f web.yaml --dry-run=server",
    "apply -f web.yaml --dry-run=client",
    "apply view-last-applied cm/settings",
    "apply -f unknown.yaml",
    "apply -f wrong.yaml",
    "apply -f missing.yaml",
    "apply",
    "apply --server-side -f config.yaml",
    "apply --server-side --force-conflicts -f config.yaml",
    "apply --server-side --dry-run=client -f config.yaml",
    "diff -f config.yaml --server-side",
    "replace -f config-2.yaml",
    "replace -f missing.yaml",
    "get deploy web -o wide",
    "get svc web",
    "get endpoints nope",
  ].map(line),
  // --- changing
  ...[
    "label cm settings tier=back",
    "label cm settings tier=back",
    "label cm settings tier=front",
    "label cm settings tier=front --overwrite",
    "label cm settings tier-",
    "label cm settings tier-",
    "label cm settings 'bad value=x'",
    "label cm settings",
    "label cm --all app=all --overwrite",
    "label cm settings --list",
    "annotate cm settings note=hello",
    "annotate cm settings note=again",
    "annotate cm settings note-",
    "annotate cm settings",
    'patch cm settings -p \'{"data":{"size":"4"}}\'',
    'patch cm settings -p \'{"data":{"size":"4"}}\'',
    'patch cm settings --type=json -p \'[{"op":"remove","path":"/data/size"}]\'',
    "patch cm settings --type=bogus -p '{}'",
    "patch cm settings",
    "patch deploy web -p 'spec: {replicas: 1}'",
    "scale deploy web --replicas=4",
    "scale deploy/web --replicas=2 --current-replicas=9",
    "scale deploy web",
    "scale cm settings --replicas=2",
    "scale deploy web --replicas=-1",
    "set image deploy/web main=example.com/web:2",
    "set image deploy/web main=example.com/web:2",
    "set image deploy/web nope=x",
    "set env deploy/web MODE=slow NEW=1",
    "set env deploy/web --list",
    "set env deploy/web NEW-",
    "set resources deploy/web --limits=cpu=200m,memory=128Mi",
    "set serviceaccount deploy/web robot",
    "set selector svc/web app=other",
    "get deploy web -o yaml",
    "autoscale deploy web --min=2 --max=5 --cpu=80%",
    "get hpa",
    "autoscale deploy web",
    "expose deploy web --name=web-2 --port=90",
    "expose deploy web",
    "expose cm settings --port=1",
    "expose deploy web --name=x --port=90 --dry-run=client -o yaml",
    "run tmp --image=busybox --dry-run=client -o yaml",
    "run tmp --image=busybox --restart=Never --env=A=1 --labels=x=y -- sleep 1",
    "run tmp",
    "run tmp --image=busybox --command --dry-run=client -o yaml -- sleep 1",
    "edit cm settings",
    "rollout history deploy/web",
    "rollout pause deploy/web",
    "rollout pause deploy/web",
    "rollout resume deploy/web",
    "rollout restart deploy/web",
    "rollout status cm/settings",
    "rollout undo deploy/web",
    "cordon node-1",
    "cordon node-1",
    "get nodes",
    "uncordon node-1",
    "uncordon nope",
    "taint nodes node-1 dedicated=x:NoSchedule",
    "taint nodes node-1 dedicated=x:NoSchedule",
    "taint nodes node-1 dedicated=y:NoSchedule --overwrite",
    "taint nodes node-1 dedicated-",
    "taint nodes node-1 dedicated-",
    "taint nodes node-1 bad:Effect",
    "wait --for=jsonpath='{.data.color}'=red cm/settings --timeout=1s",
    "wait --for=condition=Available deploy/web --timeout=0s",
    "wait --for=delete cm/nope --timeout=1s",
    "wait cm/settings",
    "wait --for=nonsense cm/settings",
  ].map(line),
  // --- asking
  ...[
    "api-versions",
    "api-resources --no-headers -o name",
    "api-resources --api-group=apps",
    "api-resources --namespaced=false --no-headers",
    "auth can-i get pods",
    "auth can-i get pods --as=nobody",
    "auth can-i list nodes",
    "auth can-i get /metrics",
    "auth whoami",
    "auth whoami -o jsonpath='{.status.userInfo.username}'",
    "auth can-i",
    "events",
    "explain pod.spec.containers.image",
    "explain pod.spec",
    "explain pod.metadata",
    "explain pod.spec.containers.imagePullPolicy",
    "explain pod.spec.volumes.iscsi",
    "explain service.spec.ports",
    "explain deployment.spec.replicas",
    "explain nothing",
    "explain deploy.nope",
    "cluster-info",
    "config current-context",
    "config get-contexts -o name",
    "config get-clusters",
    "config view",
    "config use-context nope",
    "plugin list",
    "top nodes",
    "logs nope",
    "exec nope -- true",
    "cp a b",
    "certificate approve",
    "foo",
    "get pods --nope",
    "get -o",
    "completion",
    "exec one",
    "exec one true",
    "attach",
    "port-forward one",
    "cordon",
    "drain",
    "drain nope",
    "taint",
    "set image",
    "rollout undo cm/settings",
    "rollout history cm/settings",
    "rollout restart cm/settings",
    "rollout pause cm/settings",
    "certificate approve nope",
    "logs",
    "kustomize .",
  ].map(line),
  { line: "version --client", differs: "its own version, and no kustomize of its own" },
  // --- describing
  ...[
    "apply -f rich.yaml",
    "apply -f many.yaml",
    "describe pod rich",
    "describe pod one",
    "describe pods",
    "describe deploy web",
    "describe svc web",
    "describe svc kubernetes",
    "describe node node-1",
    "describe cm settings",
    "describe secret token",
    "describe sa robot",
    "describe ns default",
    "describe quota q",
    "describe limits limits",
    "describe sts db",
    "describe ds agent",
    "describe job once",
    "describe cronjob often",
    "describe hpa web",
    "describe pdb pdb",
    "describe pc high",
    "describe netpol deny",
    "describe ing ing",
    "describe ingressclass nginx",
    "describe pv disk",
    "describe pvc data",
    "describe sc fast",
    "describe role reader",
    "describe clusterrole seer",
    "describe rolebinding rb",
    "describe clusterrolebinding crb",
    "describe endpointslice slice",
    "describe lease nope",
    "describe pod ric",
    "describe pod nope",
    "describe",
    "delete -f many.yaml --wait=false",
    "delete pod rich --grace-period=0 --force",
  ].map(line),
  // --- deleting
  ...[
    "delete cm settings --dry-run=server",
    "delete cm settings",
    "delete cm settings",
    "delete cm settings --ignore-not-found",
    "delete -f web.yaml",
    "delete cm",
    "delete",
    "delete pods --all --grace-period=0 --force",
    "delete cm -l app=all",
    "delete cm -l app=all",
    "delete ns shop --wait=false",
  ].map(line),
];
