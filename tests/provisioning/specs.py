"""A RegistrySpec for the tests of this package."""

from typing import Any

from regctl.provisioning.spec import Gateway, Ingress, RegistrySpec

ISSUED = Ingress(cluster_issuer="letsencrypt")


def registry(entry: Ingress | Gateway = ISSUED, **options: Any) -> RegistrySpec:
    given = {"name": "foo", "host": "registry.foo.com", "namespace": "team", "auth_secret": "users"}
    return RegistrySpec(**{**given, **options}, entry=entry)


def claim(
    size: str = "20Gi", mode: str = "ReadWriteOnce", cls: str | None = None
) -> dict[str, Any]:
    """Return a volume claim as the API server has it."""
    wanted = {"accessModes": [mode], "resources": {"requests": {"storage": size}}}
    return {"spec": {**wanted, "storageClassName": cls} if cls else wanted}
