"""What can be asked for, and what an existing volume allows."""

from typing import Any

import pytest

from regctl.errors import (
    ImmutableError,
    InvalidInputError,
    InvalidObjectNameError,
    InvalidReferenceError,
    RegctlError,
)
from regctl.provisioning.spec import Gateway, Ingress
from tests.provisioning.specs import claim, registry


def test_an_existing_volume_is_kept_and_can_grow() -> None:
    def kept(there: dict[str, Any], *, owns: bool = False, **options: Any) -> dict[str, Any]:
        spec = registry(**options).with_volume(there, owns_class=owns)
        kept = claim(spec.storage or "", spec.access_mode or "", spec.storage_class)
        return dict(kept["spec"])

    assert kept(claim()) == claim()["spec"]
    assert kept(claim(), storage="30Gi") == claim("30Gi")["spec"]
    assert kept(claim(mode="ReadWriteMany")) == claim(mode="ReadWriteMany")["spec"]
    # regctl does not ask for a class that the cluster chose.
    assert kept(claim(cls="default")) == claim()["spec"]
    assert kept(claim(cls="fast"), owns=True) == claim(cls="fast")["spec"]
    assert kept(claim(cls="fast"), storage_class="fast") == claim(cls="fast")["spec"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"storage": "10Gi"}, "a volume cannot shrink"),
        ({"storage_class": "slow"}, "its storage class is fast"),
        ({"replicas": 2}, "its access mode is ReadWriteOnce"),
    ],
)
def test_another_volume_is_an_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ImmutableError, match=message):
        registry(**options).with_volume(claim(cls="fast"), owns_class=True)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"name": "Foo"}, InvalidObjectNameError),
        ({"name": "1foo"}, InvalidObjectNameError),
        ({"name": "a" * 64}, InvalidObjectNameError),
        ({"host": "registry.foo.com:5000"}, InvalidInputError),
        ({"host": "10.0.0.1"}, InvalidInputError),
        ({"host": "[::1]"}, InvalidInputError),
        ({"host": "under_score.foo.com"}, RegctlError),
        ({"image": "registry 3"}, InvalidReferenceError),
        ({"storage_class": "Fast"}, InvalidObjectNameError),
        ({"auth_secret": "Users"}, InvalidObjectNameError),
    ],
)
def test_bad_values_are_errors(options: dict[str, Any], error: type[RegctlError]) -> None:
    with pytest.raises(error):
        registry(**options)


def test_a_pasted_url_is_a_host() -> None:
    assert registry(host="https://Registry.Foo.com/v2/_catalog").host == "registry.foo.com"


def test_a_gateway_cannot_check_passwords() -> None:
    with pytest.raises(InvalidInputError, match="has no filter for it"):
        registry(Gateway("infra", "public"), auth="ingress")
    assert registry(Gateway("infra", "public")).checked_by == "registry"


@pytest.mark.parametrize(("namespace", "name"), [("infra", ""), ("", "a"), ("Infra", "public")])
def test_a_gateway_has_a_namespace_and_a_name(namespace: str, name: str) -> None:
    with pytest.raises(InvalidInputError):
        Gateway(namespace, name)


@pytest.mark.parametrize("entry", [{}, {"cluster_issuer": "a", "tls_secret": "b"}])
def test_an_ingress_has_one_source_for_its_certificate(entry: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError, match="exactly one source for its certificate"):
        Ingress(**entry)  # type: ignore[arg-type]


def test_the_registry_reads_its_users_from_one_key() -> None:
    layout = registry(auth="registry").reader.layout
    assert layout is not None
    assert (layout.key, layout.any_key) == ("auth", False)
