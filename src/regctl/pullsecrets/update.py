"""Change single credentials in a pull secret that exists, in place, and nothing else in it."""

from collections.abc import Mapping
from dataclasses import replace

from regctl.cluster.client import Cluster
from regctl.cluster.ownership import OUR_LABELS, foreign_object
from regctl.cluster.resource import SECRETS
from regctl.cluster.secret import Secret, encoded, get_secret
from regctl.credentials.credential import Credential
from regctl.credentials.dockerconfigjson import replace_entries
from regctl.errors import ImmutableError, ObjectNotFoundError, RegctlError
from regctl.pullsecrets.content import credentials_of


def obstacle(secret: Secret, *, adopt: bool) -> RegctlError | None:
    """Return why *secret* must not or cannot be updated in place, or None."""
    if secret.immutable:
        return ImmutableError(
            f"cannot change {secret.subject}: it is immutable",
            hint="`regctl secret create --replace` deletes and recreates it",
        )
    return foreign_object(secret.subject, secret.ownership, verb="change", adopt=adopt)


def update_credentials(
    cluster: Cluster,
    secret: Secret,
    old: Mapping[str, Credential],
    new: Credential,
    *,
    adopt: bool = False,
) -> bool:
    """
    Put *new* into the entries of *secret* that still have their *old* credential, by key.

    Returns whether all of them have it now. An entry keeps its e-mail, and the Secret its type and
    its other entries. Raises the error of `obstacle`, ObjectNotFoundError, MalformedError, and
    errors of the cluster.
    """

    def send(observed: Secret) -> bool:
        if error := obstacle(observed, adopt=adopt):
            raise error
        present = credentials_of(observed)
        changes = {
            key: replace(new, email=before.email)
            for key, before in old.items()
            if present.get(key) == before
        }
        others = [present.get(key) for key in old.keys() - changes.keys()]
        done = all(entry is not None and entry.login == new.login for entry in others)
        if not changes:
            return done
        data = replace_entries(observed.type, observed.data, changes, source=observed.subject)
        metadata = {
            "uid": observed.uid,
            "resourceVersion": observed.resource_version,
            "labels": dict(OUR_LABELS),
        }
        patch = {"metadata": metadata, "data": encoded(data)}
        cluster.merge_patch(SECRETS, observed.namespace, observed.name, patch)
        return done

    def read_again() -> Secret:
        observed = get_secret(cluster, secret.namespace, secret.name)
        if observed is None:
            raise ObjectNotFoundError(f"cannot change {secret.subject}: it does not exist any more")
        return observed

    return cluster.retry_on_conflict(send, secret, read_again)
