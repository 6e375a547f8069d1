"""Service accounts: the words of `--attach`, and changes of their pull secrets."""

import pytest

from regctl.cluster.client import Cluster
from regctl.cluster.resource import SERVICE_ACCOUNTS
from regctl.cluster.serviceaccounts import (
    Accounts,
    ServiceAccount,
    attach,
    detach,
    list_service_accounts,
    read_service_account,
)
from regctl.errors import InvalidInputError, InvalidObjectNameError, ObjectNotFoundError
from tests.servers.kubernetes import ApiServer


def account(cluster: Cluster, namespace: str) -> ServiceAccount:
    item = cluster.get(SERVICE_ACCOUNTS, namespace, "default")
    assert item is not None
    return read_service_account(item)


@pytest.mark.parametrize(
    ("words", "accounts"),
    [
        ([], Accounts()),
        (["default", "build", "default"], Accounts(("default", "build"))),
        (["all"], Accounts(every=True)),
        (["all", "default"], Accounts(("default",), every=True)),
        (["account/all", "account/used"], Accounts(("all", "used"))),
    ],
)
def test_words_select_accounts(words: list[str], accounts: Accounts) -> None:
    assert Accounts.parse(words) == accounts
    assert bool(accounts) == bool(words)


@pytest.mark.parametrize("word", ["used", "policy"])
def test_a_reserved_word_is_an_error_with_the_way_around_it(word: str) -> None:
    with pytest.raises(InvalidInputError, match="does not support") as caught:
        Accounts.parse([word])
    assert f"account/{word}" in (caught.value.hint or "")


@pytest.mark.parametrize("word", ["", "*", "account/", "Upper", "a/b"])
def test_a_word_that_is_no_name_is_an_error(word: str) -> None:
    with pytest.raises(InvalidObjectNameError):
        Accounts.parse([word])


def test_attach_and_detach_change_one_entry(
    cluster: Cluster, kubernetes: ApiServer, namespace: str
) -> None:
    kubernetes.create_service_account(namespace, pull_secrets=["first", "last"])
    unread = ServiceAccount(namespace, "default")
    assert attach(cluster, unread, "new", dry_run="client") is True
    assert attach(cluster, unread, "new", dry_run="server") is True
    assert account(cluster, namespace).pull_secrets == ("first", "last")
    assert attach(cluster, unread, "new") is True
    assert attach(cluster, account(cluster, namespace), "new") is False
    assert account(cluster, namespace).pull_secrets == ("first", "last", "new")
    assert detach(cluster, unread, "first") is True
    assert detach(cluster, unread, "first") is False
    assert account(cluster, namespace).pull_secrets == ("last", "new")


def test_a_stale_account_is_read_again(
    cluster: Cluster, kubernetes: ApiServer, namespace: str
) -> None:
    kubernetes.create_service_account(namespace)
    stale = account(cluster, namespace)
    attach(cluster, stale, "first")
    assert attach(cluster, stale, "second") is True
    assert account(cluster, namespace).pull_secrets == ("first", "second")


def test_a_missing_account_is_an_error(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(ObjectNotFoundError, match=r"service account none .* does not exist"):
        attach(cluster, ServiceAccount(namespace, "none"), "x")


def test_accounts_are_listed_by_name(
    cluster: Cluster, kubernetes: ApiServer, namespace: str
) -> None:
    for name in ("default", "build"):
        kubernetes.create_service_account(namespace, name)
    found = list_service_accounts(cluster, namespace=namespace)
    assert [one.name for one in found] == ["build", "default"]
    found = list_service_accounts(cluster, name="build")
    assert namespace in {one.namespace for one in found}
