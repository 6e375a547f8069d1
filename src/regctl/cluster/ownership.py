"""Whose an object is: ours by its label, a controller's by its marks, or somebody's."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

FIELD_MANAGER = "regctl"
MANAGED_BY = "app.kubernetes.io/managed-by"
# Which file of `regctl secret sync` a Secret belongs to.
PART_OF = "app.kubernetes.io/part-of"
OUR_LABELS: Mapping[str, str] = {MANAGED_BY: "regctl"}

# The annotation in which a client-side `kubectl apply` keeps the whole object, password and all.
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True)
class Manager:
    """Who wrote a field, as the API server keeps it in `managedFields`."""

    name: str
    operation: str
    time: str | None


@dataclass(frozen=True)
class Ownership:
    """
    Whose an object is, with the evidence.

    *controller* names what would put its own content back: such an object is never taken over.
    *data_managers* are those other than regctl that wrote its data, or its spec.
    """

    ours: bool
    controller: str | None
    data_managers: tuple[Manager, ...] = ()

    @property
    def owner(self) -> str:
        """Who it belongs to, for a person."""
        if self.controller is not None:
            return self.controller
        if self.ours:
            return "regctl"
        managers = sorted({manager.name for manager in self.data_managers})
        return ", ".join(managers) or "somebody else"


def read_ownership(metadata: Mapping[str, Any]) -> Ownership:
    """Return whose the object with this metadata is."""
    labels = metadata.get("labels") or {}
    return Ownership(
        ours=labels.get(MANAGED_BY) == OUR_LABELS[MANAGED_BY],
        controller=next(_controllers(metadata), None),
        data_managers=tuple(_data_managers(metadata)),
    )


def _controllers(metadata: Mapping[str, Any]) -> Iterator[str]:
    labels = metadata.get("labels") or {}
    annotations = metadata.get("annotations") or {}
    for owner in metadata.get("ownerReferences") or ():
        yield f"{owner.get('kind')} {owner.get('name')}"
    for mark, name in _MARKS.items():
        for key, value in (*labels.items(), *annotations.items()):
            if key == mark or (mark.endswith("/") and key.startswith(mark)):
                yield f"{name} ({key}: {value})" if len(str(value)) <= 80 else f"{name} ({key})"
    for key, value in annotations.items():
        if key.startswith(_REPLICATOR) and key.removeprefix(_REPLICATOR) not in _REPLICATOR_SOURCE:
            yield f"kubernetes-replicator ({key}: {value})"
    # Labels on pull secrets, an annotation on those of imagepullsecret-patcher.
    for marks in (labels, annotations):
        manager = marks.get(MANAGED_BY)
        if manager and manager != OUR_LABELS[MANAGED_BY]:
            yield f"{manager} ({MANAGED_BY})"


# What each of them leaves on what it made; a last slash stands for every key that begins so.
_MARKS = {
    "meta.helm.sh/release-name": "Helm",
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "reflector.v1.k8s.emberstack.com/reflects": "reflector",
    "reflector.v1.k8s.emberstack.com/auto-reflects": "reflector",
    "reflector.v1.k8s.emberstack.com/reflected-version": "reflector",
    "clustersecret.io": "ClusterSecret",
    "clustersecret.io/": "ClusterSecret",
    "reconcile.external-secrets.io/": "External Secrets",
    "sealedsecrets.bitnami.com/": "Sealed Secrets",
    "openshift.io/token-secret.name": "OpenShift",
    "kubernetes.io/service-account.name": "the controller of its ServiceAccount",
}

# kubernetes-replicator marks its copies, and lets people mark the sources with the same prefix.
_REPLICATOR = "replicator.v1.mittwald.de/"
_REPLICATOR_SOURCE = frozenset(
    {
        "replicate-to",
        "replicate-to-matching",
        "replication-allowed",
        "replication-allowed-namespaces",
        "strip-labels",
        "strip-annotations",
        "keep-owner-references",
    }
)


def _data_managers(metadata: Mapping[str, Any]) -> Iterator[Manager]:
    for entry in metadata.get("managedFields") or ():
        fields = entry.get("fieldsV1") or {}
        if entry.get("manager") != FIELD_MANAGER and ("f:data" in fields or "f:spec" in fields):
            yield Manager(
                str(entry.get("manager") or "?"),
                str(entry.get("operation") or ""),
                entry.get("time"),
            )
