"""What a kubelet pulls for a pod: its images, its Secrets, and what the kubelet says about them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from regctl.cluster.client import Cluster
from regctl.cluster.resource import PODS, SERVICE_ACCOUNTS, Resource
from regctl.cluster.serviceaccounts import read_service_account
from regctl.cluster.workloads import PodImage, pod_images
from regctl.errors import (
    ClusterError,
    InvalidReferenceError,
    NotPermittedError,
    ObjectNotFoundError,
)
from regctl.images.manifests import Platform
from regctl.reference import ImageReference

_NODES = Resource("Node", "nodes")
# The first version in which KubeletEnsureSecretPulledImages is on by default.
_VERIFYING_KUBELET = 35
# The states of a container whose image is there.
_HAS_RUN = frozenset({"running", "terminated"})
# Why a container waits for an image (kubernetes, pkg/kubelet/images/types.go).
_PULL_REASONS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "ImageInspectError",
        "InvalidImageName",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)


@dataclass(frozen=True)
class Node:
    """
    A node as its kubelet reports it, with the *images* that it has: it names fifty at most.

    *verifies* says that it uses one without a pull only for who could pull it (KEP-2535).
    """

    name: str
    platform: Platform | None = None
    images: frozenset[str] = frozenset()
    verifies: bool = True


@dataclass(frozen=True)
class Pull:
    """
    What a kubelet pulls: *image*, with the Secrets of *names*.

    *account* is the service account, whose list a new pod gets if it has none of its own. *pod* is
    the pod if there is one: *names* are then its own. *platform* is the node's, or None if it is
    unknown. *never* is true for the pull policy Never, *reuses* for IfNotPresent. *status* is what
    the kubelet says about the image, *present* whether it has run it. *node* is None if unknown.
    """

    image: ImageReference
    namespace: str
    names: tuple[str, ...]
    account: str
    pod: str | None = None
    platform: Platform | None = None
    never: bool = False
    status: str = field(default="", compare=False)
    present: bool = field(default=False, compare=False)
    reuses: bool = field(default=False, compare=False)
    node: Node | None = field(default=None, compare=False)

    @property
    def on_node(self) -> bool:
        """Whether the node reports that it has the image."""
        name, image = self.image.kubelet_name, self.image
        names = {f"{name}@{image.digest}"} if image.digest else {f"{name}:{image.reference}"}
        return self.node is not None and not names.isdisjoint(self.node.images)

    @property
    def source(self) -> str:
        """Who lists the Secrets, in a sentence."""
        return f"pod {self.pod}" if self.pod else f"service account {self.account}"


def of_account(
    cluster: Cluster, image: ImageReference, namespace: str, account: str, platform: Platform | None
) -> Pull:
    """Return the pull of a pod that *account* would create now. Raises ObjectNotFoundError."""
    item = cluster.get(SERVICE_ACCOUNTS, namespace, account)
    if item is None:
        raise ObjectNotFoundError(f"there is no service account {account} in namespace {namespace}")
    names = read_service_account(item).pull_secrets
    # The default policy (kubernetes, pkg/apis/core/v1/defaults.go).
    reuses = image.reference != "latest"
    return Pull(image, namespace, names, account, platform=platform, reuses=reuses)


def of_pod(
    cluster: Cluster, namespace: str, name: str, platform: Platform | None
) -> tuple[Pull | InvalidReferenceError, ...]:
    """
    Return the pulls of a pod's images, those of its volumes included, each image once.

    A pod keeps the list that it got at its creation: its own, else that of its service account. For
    a text that is no image the error is returned. Raises ObjectNotFoundError.
    """
    item = cluster.get(PODS, namespace, name)
    if item is None:
        raise ObjectNotFoundError(f"there is no pod {name} in namespace {namespace}")
    spec: dict[str, Any] = item["spec"]
    node = _read_node(cluster, spec.get("nodeName"))
    common = Pull(
        ImageReference.parse("image"),
        namespace,
        tuple(str(one.get("name", "")) for one in spec.get("imagePullSecrets") or ()),
        str(spec.get("serviceAccountName") or "default"),
        name,
        platform or (node.platform if node else None),
        node=node,
    )
    images = list(pod_images(spec, item.get("status") or {}))
    pulls: dict[Pull, Pull] = {}
    invalid: list[InvalidReferenceError] = []
    for image in images:
        never = image.policy == "Never"
        try:
            pull = replace(common, image=ImageReference.parse(image.name), never=never)
        except InvalidReferenceError as error:
            invalid.append(error)
            continue
        before = pulls.get(pull, pull)
        pulls[pull] = replace(
            before,
            reuses=before.reuses or image.policy == "IfNotPresent",
            status=before.status or _words_about(image, images),
            present=before.present or not _state(image).keys().isdisjoint(_HAS_RUN),
        )
    return *pulls.values(), *invalid


def _words_about(image: PodImage, images: Iterable[PodImage]) -> str:
    """Return why the container of an image waits, or one that mounts the image; or ""."""
    for other in (image, *images):
        waiting = _state(other).get("waiting") or {}
        reason, words = str(waiting.get("reason")), str(waiting.get("message") or "")
        if reason in _PULL_REASONS and (other is image or f'"{image.name}"' in words):
            return " ".join(f"{reason}: {words}".split())
    return ""


def _state(image: PodImage) -> Mapping[str, Any]:
    return image.status.get("state") or {}


def _read_node(cluster: Cluster, name: str | None) -> Node | None:
    try:
        item = cluster.get(_NODES, None, name) if name else None
    except (ClusterError, NotPermittedError):
        return None
    if item is None:
        return None
    status = item.get("status") or {}
    info = status.get("nodeInfo") or {}
    system, architecture = info.get("operatingSystem"), info.get("architecture")
    version = re.match(r"v1\.(\d+)", info.get("kubeletVersion") or "")
    return Node(
        str(name),
        Platform(system, architecture) if system and architecture else None,
        frozenset(one for image in status.get("images") or () for one in image.get("names") or ()),
        verifies=version is None or int(version[1]) >= _VERIFYING_KUBELET,
    )
