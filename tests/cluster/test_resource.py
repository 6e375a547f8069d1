"""Names of namespaces and objects."""

import pytest

from regctl.cluster.resource import check_namespace, check_object_name
from regctl.errors import InvalidNamespaceError, InvalidObjectNameError


@pytest.mark.parametrize("name", ["", "Upper", "a.b", "a_b", "-a", "a-", "x" * 64, "ä"])
def test_a_bad_namespace_is_refused(name: str) -> None:
    with pytest.raises(InvalidNamespaceError):
        check_namespace(name)


def test_names_are_checked_by_rfc_1123() -> None:
    assert check_namespace("a-1") == "a-1"
    assert check_object_name("a.b-c.1", "Secret") == "a.b-c.1"
    with pytest.raises(InvalidObjectNameError):
        check_object_name("a..b", "Secret")
