"""Who owns an object: regctl by its label, a controller by its marks, or somebody else."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from regctl.errors import ForeignObjectError

FIELD_MANAGER = "regctl"
MANAGED_BY = "app.kubernetes.io/managed-by"
# The file of `regctl secret sync` that declares a Secret.
PART_OF = "app.kubernetes.io/part-of"
OUR_LABELS: Mapping[str, str] = {MANAGED_BY: "regctl"}

# The annotation in which a client-side `kubectl apply` keeps the whole object, with its password.
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True)
class Manager:
    """Who wrote a field, as the API server keeps it in `managedFields`."""

    name: str
    time: str | None


@dataclass(frozen=True)
class Ownership:
    """
    Who owns an object, and the evidence.

    *managed* is true if the object has regctl's label. *controller* names a program that would
    restore its own content: such an object is never adopted. *data_managers* are the field
    managers other than regctl that wrote its data or its spec.
    """

    managed: bool
    controller: str | None
    data_managers: tuple[Manager, ...] = ()

    @property
    def owner(self) -> str:
        """The owner's name, for messages."""
        if self.controller is not None:
            return self.controller
        if self.managed:
            return "regctl"
        managers = sorted({manager.name for manager in self.data_managers})
        return ", ".join(managers) or "somebody else"


def read_ownership(metadata: Mapping[str, Any]) -> Ownership:
    """Return who owns the object with this metadata."""
    labels = metadata.get("labels") or {}
    return Ownership(
        managed=labels.get(MANAGED_BY) == OUR_LABELS[MANAGED_BY],
        controller=next(_controllers(metadata), None),
        data_managers=tuple(
            Manager(str(entry.get("manager") or "?"), entry.get("time"))
            for entry in metadata.get("managedFields") or ()
            if entry.get("manager") != FIELD_MANAGER
            and {"f:data", "f:spec"} & set(entry.get("fieldsV1") or ())
        ),
    )


def foreign_object(
    subject: str,
    ownership: Ownership,
    *,
    verb: Literal["change", "delete"],
    adopt: bool,
    instead: str | None = None,
) -> ForeignObjectError | None:
    """
    Return the error that refuses to *verb* an object of another owner, or None to permit it.

    A controller's object is refused even with *adopt*, because the controller would restore it.
    *subject* names the object in a sentence. *instead* is what a user can do without it, such as
    "use another name"; the hint ends with it.
    """
    alternative = f", or {instead}" if instead else ""
    attempt = f"cannot {verb} {subject}"
    if ownership.controller is not None:
        return ForeignObjectError(
            f"{attempt}: it belongs to {ownership.controller}, which would restore it",
            hint=f"{verb} it at its source{alternative}",
        )
    if not ownership.managed and not adopt:
        consequence = "takes it over" if verb == "change" else "deletes it anyway"
        return ForeignObjectError(
            f"{attempt}: it is managed by {ownership.owner}, not by regctl",
            hint=f"`--adopt` {consequence}{alternative}",
        )
    return None


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
    # Most programs set a label, imagepullsecret-patcher sets an annotation.
    for marks in (labels, annotations):
        manager = marks.get(MANAGED_BY)
        if manager and manager != OUR_LABELS[MANAGED_BY]:
            yield f"{manager} ({MANAGED_BY})"


# The label or annotation that each program sets on its objects; a final slash marks a prefix.
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

# kubernetes-replicator marks its copies; users mark the sources with the same prefix.
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
