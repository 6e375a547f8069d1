"""The credentials in a pull secret."""

import base64

import pytest

from regctl.cluster.client import Cluster
from regctl.credentials.credential import Credential
from regctl.credentials.dockerconfigjson import DOCKERCFG
from regctl.errors import InvalidInputError, MalformedError
from regctl.pullsecrets.content import (
    credentials_for,
    credentials_of,
    read_credentials,
)
from regctl.pullsecrets.plan import PullSecret
from tests.pullsecrets.secrets import ALICE, pull_secret
from tests.servers.kubernetes import ApiServer

BROKEN = pull_secret(content=b'{"auths": 5}')
TWO = pull_secret({"https://r.io/v1/": ALICE, "other.io": Credential("x", "y")})


@pytest.mark.parametrize("kind", [DOCKERCFG, "kubernetes.io/dockerconfigjson"])
def test_both_types_have_credentials(kind: str) -> None:
    secret = pull_secret(kind=kind)
    assert credentials_of(secret) == {"r.io": ALICE}


def test_a_secret_that_the_kubelet_cannot_decode_is_an_error_without_its_content() -> None:
    with pytest.raises(MalformedError, match="cannot read secret regcred in namespace team-a"):
        credentials_of(BROKEN)
    with pytest.raises(MalformedError, match="Opaque is not a pull secret"):
        credentials_of(pull_secret(kind="Opaque"))


def test_a_secret_that_the_kubelet_cannot_decode_has_no_credentials() -> None:
    assert set(credentials_for(TWO)) == {"https://r.io/v1/", "other.io"}
    assert credentials_for(BROKEN) == {}


def test_only_the_wanted_credential_is_copied(
    cluster: Cluster, kubernetes: ApiServer, namespace: str
) -> None:
    credentials = {"https://r.io/v1/": ALICE, "other.io": Credential("x", "y")}
    kubernetes.create_secret(namespace, PullSecret("two", credentials).manifest(None))
    assert read_credentials(cluster, namespace, "two", "r.io") == {"https://r.io/v1/": ALICE}
    assert read_credentials(cluster, namespace, "two") == credentials
    with pytest.raises(InvalidInputError, match=r"has no credential for third\.io") as caught:
        read_credentials(cluster, namespace, "two", "third.io")
    assert f"`regctl secret show {namespace}/two`" in (caught.value.hint or "")
    broken = {".dockerconfigjson": base64.b64encode(b'{"auths": 5}').decode()}
    kubernetes.create_secret(namespace, PullSecret("bad", {}).manifest(None) | {"data": broken})
    with pytest.raises(MalformedError):
        read_credentials(cluster, namespace, "bad")
