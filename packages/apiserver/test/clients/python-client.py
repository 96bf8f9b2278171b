"""Drives an API server with Python's official client: python-client.py KUBECONFIG. Prints one line per check; exits 1 at the first failure."""
import datetime
import sys
import threading

from kubernetes import client, config, dynamic, utils, watch
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


for part in (objects, workloads, watching, generic, deleting):
    part()
