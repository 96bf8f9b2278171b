"""Drives an API server with Python's official client: python-client.py KUBECONFIG. Prints one line per check; exits 1 at the first failure."""
import datetime
import os
import sys
import tempfile
import threading

from kubernetes import client, config, dynamic, utils, watch
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.configmaplock import ConfigMapLock
from kubernetes.client.rest import ApiException

config.load_kube_config(sys.argv[1])
core = client.CoreV1Api()
apps = client.AppsV1Api()
NS = "default"


def check(name, condition, detail=""):
    print(("ok " if condition else "not ok ") + name, detail, flush=True)
    if not condition:
        sys.exit(1)


def refused(call, status, reason=None):
    try:
        call()
    except ApiException as error:
        return error.status == status and (reason is None or reason in error.body)
    return False


def objects():
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="py", labels={"py": "1"}), data={"a": "1"})
    made = core.create_namespaced_config_map(NS, body)
    check("create", made.metadata.resource_version.isdigit() and made.metadata.uid)
    check("create again is 409", refused(lambda: core.create_namespaced_config_map(NS, body), 409, "AlreadyExists"))
    dry = core.create_namespaced_config_map(NS, client.V1ConfigMap(metadata=client.V1ObjectMeta(generate_name="py-")), dry_run="All")
    check("dry run with generateName", dry.metadata.name.startswith("py-"))
    check("dry run wrote nothing", refused(lambda: core.read_namespaced_config_map(dry.metadata.name, NS), 404))
    made.data["a"] = "2"
    replaced = core.replace_namespaced_config_map("py", NS, made)
    check("replace", replaced.data == {"a": "2"})
    check("stale replace is 409", refused(lambda: core.replace_namespaced_config_map("py", NS, made), 409, "Conflict"))
    check("strategic patch", core.patch_namespaced_config_map("py", NS, {"data": {"b": "3"}}).data == {"a": "2", "b": "3"})
    ops = [{"op": "test", "path": "/data/b", "value": "3"}, {"op": "remove", "path": "/data/b"}]
    check("json patch", core.patch_namespaced_config_map("py", NS, ops).data == {"a": "2"})
    check("invalid is 422", refused(lambda: core.create_namespaced_config_map(NS, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="A_"))), 422, "Invalid"))
    listed = core.list_namespaced_config_map(NS, label_selector="py=1", resource_version="0")
    check("list with selector", [item.metadata.name for item in listed.items] == ["py"])
    check("list across namespaces", core.list_config_map_for_all_namespaces().items)
    page = client.RbacAuthorizationV1Api().list_cluster_role(limit=5)
    check("pages", page.metadata._continue and page.metadata.remaining_item_count > 0)


def workloads():
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels={"app": "py"}),
        spec=client.V1PodSpec(containers=[client.V1Container(name="c", image="busybox", resources=client.V1ResourceRequirements(requests={"cpu": "0.1"}))]),
    )
    spec = client.V1DeploymentSpec(selector=client.V1LabelSelector(match_labels={"app": "py"}), template=template)
    made = apps.create_namespaced_deployment(NS, client.V1Deployment(metadata=client.V1ObjectMeta(name="py"), spec=spec))
    check("defaults", made.spec.replicas == 1 and made.spec.strategy.rolling_update.max_surge == "25%")
    check("quantity is canonical", made.spec.template.spec.containers[0].resources.requests["cpu"] == "100m")
    scale = apps.patch_namespaced_deployment_scale("py", NS, {"spec": {"replicas": 3}})
    check("scale", scale.spec.replicas == 3 and scale.status.selector == "app=py")
    status = apps.patch_namespaced_deployment_status("py", NS, {"status": {"replicas": 2}})
    check("status", status.status.replicas == 2 and status.spec.replicas == 3)
    now = datetime.datetime.now(datetime.timezone.utc)
    lease = client.V1Lease(metadata=client.V1ObjectMeta(name="py"), spec=client.V1LeaseSpec(holder_identity="py", acquire_time=now))
    check("microtime", client.CoordinationV1Api().create_namespaced_lease(NS, lease).spec.acquire_time == now)


def watching():
    version = core.list_namespaced_config_map(NS).metadata.resource_version
    threading.Timer(0.2, lambda: core.create_namespaced_config_map(NS, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="seen")))).start()
    stream = watch.Watch().stream(core.list_namespaced_config_map, NS, resource_version=version, timeout_seconds=20)
    for event in stream:
        check("watch", (event["type"], event["object"].metadata.name) == ("ADDED", "seen"))
        break
    ended = list(watch.Watch().stream(core.list_namespaced_config_map, NS, field_selector="metadata.name=none", timeout_seconds=1))
    check("watch ends at its time-out", ended == [])


def generic():
    found = dynamic.DynamicClient(client.ApiClient()).resources.get(api_version="apps/v1", kind="Deployment")
    patched = found.patch(body={"spec": {"paused": True}}, name="py", namespace=NS, content_type="application/merge-patch+json")
    check("merge patch by the dynamic client", patched.spec.paused is True)
    check("dynamic list", any(item.metadata.name == "py" for item in found.get(namespace=NS).items))
    utils.create_from_dict(client.ApiClient(), {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "py"}, "spec": {"ports": [{"port": 80}]}})
    check("create_from_dict", core.read_namespaced_service("py", NS).spec.cluster_ip.startswith("10."))
    check("version", client.VersionApi().get_code().minor == "36")
    check("groups", "apps" in [group.name for group in client.ApisApi().get_api_versions().groups])


def deleting():
    options = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="other"))
    check("precondition is 409", refused(lambda: core.delete_namespaced_config_map("py", NS, body=options), 409))
    check("delete", core.delete_namespaced_config_map("py", NS).status == "Success")
    core.delete_collection_namespaced_config_map(NS, label_selector="never=1")
    check("deletecollection heeds selectors", core.read_namespaced_config_map("seen", NS))
    apps.delete_namespaced_deployment("py", NS, propagation_policy="Orphan")
    check("orphaned deletion waits for its finalizer", "orphan" in apps.read_namespaced_deployment("py", NS).metadata.finalizers)


MANIFESTS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: made}
data: {a: "1"}
---
apiVersion: v1
kind: Secret
metadata: {name: made}
stringData: {a: b}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: default}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: made}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: made}
spec:
  serviceName: made
  selector: {matchLabels: {app: made}}
  template: {metadata: {labels: {app: made}}, spec: {containers: [{name: c, image: i}]}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: made}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: made}
spec:
  schedule: "@daily"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: made}
spec: {defaultBackend: {service: {name: s, port: {number: 80}}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: made}
spec: {podSelector: {}, policyTypes: [Ingress]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: made}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: made}
spec: {minAvailable: 1, selector: {matchLabels: {app: made}}}
---
apiVersion: v1
kind: Pod
metadata: {name: made}
spec: {serviceAccountName: default, containers: [{name: c, image: i}]}
"""


def kinds():
    """Each kind by create_from_yaml, then read, patched and deleted by its own class: answers of every form are parsed."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False) as file:
        file.write(MANIFESTS)
    made = utils.create_from_yaml(client.ApiClient(), file.name, namespace=NS)
    os.unlink(file.name)
    check("create_from_yaml", len(made) == MANIFESTS.count("kind: ") == 12, len(made))
    try:
        utils.create_from_dict(client.ApiClient(), {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "made"}}, namespace=NS)
        check("create_from_dict again fails", False)
    except utils.FailToCreateError as error:
        check("create_from_dict again fails", error.api_exceptions[0].status == 409)
    batch, net = client.BatchV1Api(), client.NetworkingV1Api()
    rbac, policy = client.RbacAuthorizationV1Api(), client.PolicyV1Api()
    rows = [
        (core, "config_map", "V1Status"),
        (core, "secret", "V1Status"),
                (core, "persistent_volume_claim", "V1PersistentVolumeClaim"),
        (apps, "stateful_set", "V1Status"),
        (batch, "job", "V1Status"),
        (batch, "cron_job", "V1Status"),
        (net, "ingress", "V1Status"),
        (net, "network_policy", "V1Status"),
        (rbac, "role", "V1Status"),
        (policy, "pod_disruption_budget", "V1Status"),
        (core, "pod", "V1Pod"),
    ]
    # Nobody makes the account that pods need here: there is no controller manager.
    for api, kind, answer in rows:
        patched = getattr(api, "patch_namespaced_" + kind)("made", NS, {"metadata": {"labels": {"patched": "1"}}})
        read = getattr(api, "read_namespaced_" + kind)("made", NS)
        check("patch and read " + kind, read == patched and read.metadata.labels["patched"] == "1")
        listed = getattr(api, "list_namespaced_" + kind)(NS, label_selector="patched=1")
        check("list " + kind, [item.metadata.name for item in listed.items] == ["made"])
        gone = getattr(api, "delete_namespaced_" + kind)("made", NS, propagation_policy="Background")
        check("delete " + kind, type(gone).__name__ == answer, type(gone).__name__)


def resuming():
    """A watch that is left is taken up at its last version: no event twice, none lost."""
    first = core.create_namespaced_config_map(NS, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="step"), data={"n": "0"}))
    watcher = watch.Watch()
    seen = []
    for step in range(1, 4):
        core.patch_namespaced_config_map("step", NS, {"data": {"n": str(step)}})
        since = watcher.resource_version or first.metadata.resource_version
        for event in watcher.stream(core.list_namespaced_config_map, NS, field_selector="metadata.name=step", resource_version=since):
            seen.append((event["type"], event["object"].data["n"]))
            break
    check("watch goes on where it stopped", seen == [("MODIFIED", "1"), ("MODIFIED", "2"), ("MODIFIED", "3")], seen)
    raw = core.read_namespaced_config_map("step", NS, _preload_content=False)
    check("raw answers", raw.status == 200 and b'"step"' in raw.data)
    later = core.read_namespaced_config_map("step", NS, async_req=True).get()
    check("answers from threads", later.data["n"] == "3")


def leading():
    """Two candidates: the first leads as long as it renews."""

    def candidate(name):
        lock = ConfigMapLock("py-leader", NS, name)
        times = {"lease_duration": 60, "renew_deadline": 30, "retry_period": 1}
        return leaderelection.LeaderElection(electionconfig.Config(lock, onstarted_leading=print, onstopped_leading=None, **times))

    one, two = candidate("one"), candidate("two")
    check("the first acquires", one.try_acquire_or_renew())
    check("the second does not", not two.try_acquire_or_renew())
    check("the first renews", one.try_acquire_or_renew())
    record = core.read_namespaced_config_map("py-leader", NS).metadata.annotations
    check("the lock names its holder", "one" in record["control-plane.alpha.kubernetes.io/leader"])


for part in (objects, workloads, watching, generic, deleting, kinds, resuming, leading):
    part()
