"""The credentials in a pull secret."""

import pytest

from regctl.credentials.credential import Credential
from regctl.credentials.dockerconfigjson import DOCKERCFG
from regctl.errors import InvalidInputError, MalformedError
from regctl.pullsecrets.content import (
    credentials_for,
    credentials_of,
    credentials_to_copy,
    kubelet_data,
    raw_entries,
)
from regctl.reference import Registry
from tests.pullsecrets.secrets import ALICE, pull_secret

BROKEN = pull_secret(content=b'{"auths": 5}')
TWO = pull_secret({"https://r.io/v1/": ALICE, "other.io": Credential("x", "y")})


@pytest.mark.parametrize("kind", [DOCKERCFG, "kubernetes.io/dockerconfigjson"])
def test_both_types_have_credentials_and_entries(kind: str) -> None:
    secret = pull_secret(kind=kind)
    assert credentials_of(secret) == {"r.io": ALICE}
    assert raw_entries(secret)["r.io"]["username"] == "alice"
    assert kubelet_data(secret).type == kind


def test_a_secret_that_the_kubelet_cannot_decode_is_an_error_without_its_content() -> None:
    with pytest.raises(MalformedError, match="cannot read secret regcred in namespace team-a"):
        credentials_of(BROKEN)
    with pytest.raises(MalformedError, match="Opaque is not a pull secret"):
        credentials_of(pull_secret(kind="Opaque"))


def test_credentials_are_found_by_registry() -> None:
    assert credentials_for(TWO, Registry.parse("r.io")) == {"https://r.io/v1/": ALICE}
    assert set(credentials_for(TWO, None)) == {"https://r.io/v1/", "other.io"}
    assert credentials_for(BROKEN, None) == {}


def test_only_the_wanted_credential_is_copied() -> None:
    assert credentials_to_copy(TWO, "r.io") == {"https://r.io/v1/": ALICE}
    assert set(credentials_to_copy(TWO, None)) == {"https://r.io/v1/", "other.io"}
    with pytest.raises(InvalidInputError, match=r"has no credential for third\.io"):
        credentials_to_copy(TWO, "third.io")
    with pytest.raises(MalformedError):
        credentials_to_copy(BROKEN, None)
