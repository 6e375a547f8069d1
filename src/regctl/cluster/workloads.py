"""The workloads that pull images: Pods, and the templates that make them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from regctl.cluster.client import Cluster
from regctl.cluster.resource import PODS, Resource
from regctl.errors import ObjectNotFoundError, RegctlError, UnknownKindError

_APPS, _BATCH = "/apis/apps/v1", "/apis/batch/v1"
# They are listed before Pods: a Pod belongs to a CronJob by way of a Job.
TEMPLATES = (
    Resource("Deployment", "deployments", _APPS),
    Resource("StatefulSet", "statefulsets", _APPS),
    Resource("DaemonSet", "daemonsets", _APPS),
    Resource("Job", "jobs", _BATCH),
    Resource("CronJob", "cronjobs", _BATCH),
)
# Before Kubernetes 1.21.
_OLD_CRON_JOBS = Resource("CronJob", "cronjobs", "/apis/batch/v1beta1")

_CONTAINER_KINDS = ("initContainer", "container", "ephemeralContainer")


@dataclass(frozen=True)
class ImageUse:
    """
    An image as a workload names it.

    *running* are references of the same content that nodes report, as `host/app@sha256:…`.
    """

    name: str
    running: tuple[str, ...] = ()


@dataclass(frozen=True)
class Workload:
    """
    A Pod, or a template with its Pods, and the images that it pulls.

    *secrets* are the pull secrets in its own list; without any those of its *account* are used.
    *pods* is how many Pods it has.
    """

    kind: str
    namespace: str
    name: str
    images: tuple[ImageUse, ...]
    account: str = "default"
    secrets: tuple[str, ...] = ()
    pods: int = 0

    @property
    def subject(self) -> str:
        """`team-a/deployment/web`."""
        return f"{self.namespace}/{self.kind.lower()}/{self.name}"


@dataclass(frozen=True)
class Workloads:
    """The workloads, sorted by namespace, kind and name; *errors* is what could not be listed."""

    items: tuple[Workload, ...] = ()
    errors: tuple[RegctlError, ...] = ()


def list_workloads(cluster: Cluster, namespaces: Iterable[str] | None = None) -> Workloads:
    """
    Return the workloads in *namespaces*, or in the whole cluster: one LIST for each kind.

    A Pod counts for the template that made it. A kind that cannot be listed is an error, and the
    others are returned.
    """
    found: dict[tuple[str, str, str], _Collected] = {}
    errors: list[RegctlError] = []
    owners: dict[tuple[str, str], str] = {}
    for namespace in [None] if namespaces is None else sorted(set(namespaces)):
        for resource in (*TEMPLATES, PODS):
            try:
                for item in _list(cluster, resource, namespace):
                    _collect(found, owners, resource.kind, item)
            except RegctlError as error:
                errors.append(error)
    return Workloads(tuple(one.workload(key) for key, one in sorted(found.items())), tuple(errors))


def _list(
    cluster: Cluster, resource: Resource, namespace: str | None
) -> Iterator[Mapping[str, Any]]:
    try:
        yield from cluster.list(resource, namespace=namespace)
    except (UnknownKindError, ObjectNotFoundError):
        if resource.kind != _OLD_CRON_JOBS.kind:
            raise
        yield from cluster.list(_OLD_CRON_JOBS, namespace=namespace)


@dataclass
class _Collected:
    """What is known of one workload so far."""

    account: str = ""
    secrets: tuple[str, ...] = ()
    images: dict[str, set[str]] = field(default_factory=dict)
    pods: int = 0

    def workload(self, key: tuple[str, str, str]) -> Workload:
        namespace, kind, name = key
        images = (ImageUse(image, tuple(sorted(at))) for image, at in sorted(self.images.items()))
        return Workload(kind, namespace, name, tuple(images), self.account, self.secrets, self.pods)


def _collect(
    found: dict[tuple[str, str, str], _Collected],
    cron_jobs: dict[tuple[str, str], str],
    kind: str,
    item: Mapping[str, Any],
) -> None:
    """Add an object to the workload that it belongs to."""
    metadata, spec = item["metadata"], item["spec"]
    namespace, name = metadata["namespace"], metadata["name"]
    owner = _owner(metadata)
    if kind == "Job" and owner and owner[0] == "CronJob":
        cron_jobs[namespace, name] = owner[1]
    pod = spec
    if kind == "CronJob":
        pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    elif kind != "Pod":
        pod = spec["template"]["spec"]
    if owner and owner[0] in {one.kind for one in TEMPLATES}:
        kind, name = owner
    if kind == "Job" and (namespace, name) in cron_jobs:
        kind, name = "CronJob", cron_jobs[namespace, name]
    one = found.setdefault((namespace, kind, name), _Collected())
    # The template comes first: a Pod also has the Secrets that its account had then.
    if not one.account:
        one.account = str(pod.get("serviceAccountName") or "default")
        one.secrets = tuple(str(s.get("name", "")) for s in pod.get("imagePullSecrets") or ())
    is_pod = pod is spec
    one.pods += is_pod
    for image in pod_images(pod, (item.get("status") or {}) if is_pod else {}):
        digests = one.images.setdefault(image.name, set())
        # Docker's shim writes docker-pullable:// before the reference.
        reference = str(image.status.get("imageID") or "").rpartition("://")[2]
        if "@" in reference:
            digests.add(reference)


@dataclass(frozen=True)
class PodImage:
    """An image of a Pod, its pull *policy*, and the *status* of its container, if it has one."""

    name: str
    policy: str = ""
    status: Mapping[str, Any] = field(default_factory=dict, repr=False)


def pod_images(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Iterator[PodImage]:
    """Yield the images of a Pod's containers and volumes, as its spec names them."""
    for kind in _CONTAINER_KINDS:
        statuses = {one["name"]: one for one in status.get(f"{kind}Statuses") or ()}
        for one in spec.get(f"{kind}s") or ():
            policy = one.get("imagePullPolicy") or ""
            yield PodImage(one.get("image") or "", policy, statuses.get(one["name"]) or {})
    for volume in spec.get("volumes") or ():
        if image := volume.get("image"):
            yield PodImage(image.get("reference") or "", image.get("pullPolicy") or "")


def _owner(metadata: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return kind and name of the controller; of a ReplicaSet, of the Deployment that made it."""
    references: Sequence[Mapping[str, Any]] = metadata.get("ownerReferences") or ()
    owner = next((one for one in references if one.get("controller")), None)
    if owner is None:
        return None
    kind, name = str(owner["kind"]), str(owner["name"])
    suffix = f"-{(metadata.get('labels') or {}).get('pod-template-hash')}"
    if kind == "ReplicaSet" and name.endswith(suffix):
        return "Deployment", name.removesuffix(suffix)
    return kind, name
