"""The rights of each command, and the Roles and bindings made of them."""

from typing import Any

import pytest

from regctl.cluster.serviceaccounts import Accounts
from regctl.workflows.rbac import COMMANDS, Permissions, Subject

WRITING = {"create", "patch", "update", "delete"}


def verbs_of(permissions: Permissions, resource: str) -> dict[tuple[str, ...], set[str]]:
    """The verbs on *resource*, by the names that they are limited to."""
    return {
        tuple(rule.get("resourceNames", ())): set(rule["verbs"])
        for rule in permissions.rules()
        if rule["resources"] == [resource]
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_a_check_only_reads(command: str) -> None:
    for namespaces in ((), ("team-a",)):
        for rule in Permissions((command,), "r.io", namespaces, check=True).rules():
            assert not WRITING & set(rule["verbs"])


@pytest.mark.parametrize("command", COMMANDS)
def test_only_commands_for_all_namespaces_list_them(command: str) -> None:
    in_one = Permissions((command,), namespaces=("team-a",))
    assert verbs_of(in_one, "namespaces") == {}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_name_limits_every_write_to_objects_of_that_name(command: str) -> None:
    if command == "rotate":
        return  # changes whichever pull secrets have the user
    for rule in Permissions((command,), "foo", ("team-a",), replace=True).rules():
        if WRITING & set(rule["verbs"]) and rule["resources"] != ["serviceaccounts"]:
            assert rule["resourceNames"]


def test_create_needs_a_list_in_all_namespaces_and_none_in_one() -> None:
    assert verbs_of(Permissions(("secret create",), "r.io"), "secrets") == {
        (): {"list"},
        ("r.io",): {"get", "create", "patch"},
    }
    assert verbs_of(Permissions(("secret create",), "r.io", ("a",)), "secrets") == {
        ("r.io",): {"get", "create", "patch"}
    }


def test_replacing_and_attaching_have_rights_of_their_own() -> None:
    plain = Permissions(("secret create",), "r.io", ("a",))
    assert verbs_of(plain, "serviceaccounts") == {}
    more = Permissions(("secret create",), "r.io", ("a",), Accounts(("default",)), replace=True)
    assert verbs_of(more, "secrets") == {("r.io",): {"get", "create", "patch", "delete"}}
    assert verbs_of(more, "serviceaccounts") == {("default",): {"get", "patch"}}


def test_attaching_to_all_accounts_lists_and_changes_them_all() -> None:
    permissions = Permissions(("secret create",), "r.io", ("a",), Accounts(every=True))
    assert verbs_of(permissions, "serviceaccounts") == {(): {"list", "get", "patch"}}


def test_no_right_is_in_two_rules() -> None:
    rules = Permissions(COMMANDS).rules()
    seen = [(rule["resources"][0], tuple(rule.get("resourceNames", ()))) for rule in rules]
    assert len(seen) == len(set(seen))


def test_a_role_for_each_namespace_and_a_binding_beside_it() -> None:
    subject = Subject("ServiceAccount", "regctl", "infra")
    manifests = Permissions(("rotate",), namespaces=("b", "a")).manifests(subject)
    name = "regctl-rotate-account-infra.regctl"
    assert [(one["kind"], one["metadata"]) for one in manifests] == [
        ("Role", {"name": name, "namespace": "a"}),
        ("RoleBinding", {"name": name, "namespace": "a"}),
        ("Role", {"name": name, "namespace": "b"}),
        ("RoleBinding", {"name": name, "namespace": "b"}),
    ]
    binding: dict[str, Any] = manifests[1]
    assert binding["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "Role",
        "name": name,
    }
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "regctl", "namespace": "infra"}
    ]


def test_the_role_is_called_after_its_command() -> None:
    def role_name(permissions: Permissions) -> str:
        [role] = permissions.manifests(None)
        name: str = role["metadata"]["name"]
        return name

    assert role_name(Permissions(("auth push",))) == "regctl-auth-push"
    assert role_name(Permissions(("auth push",), check=True)) == "regctl-auth-push-check"
    assert role_name(Permissions(COMMANDS)) == "regctl"


def test_every_other_request_has_another_name() -> None:
    """Else the second `kubectl apply` would take rights from the first."""
    subjects = [
        None,
        Subject("User", "ci"),
        Subject("Group", "ci"),
        Subject("User", "oidc/ci"),
        Subject("User", "oidc-ci"),
        Subject("ServiceAccount", "b-c", "a"),
        Subject("ServiceAccount", "c", "a-b"),
    ]
    requests = [
        Permissions((command,), name, (), accounts, replace=replace, check=check)
        for command in ("secret create", "secret delete")
        for name in (None, "r.io", "user-ci")
        for accounts in (Accounts(), Accounts(("default",)), Accounts(every=True))
        for replace in (False, True)
        for check in (False, True)
    ]
    requests += [
        Permissions(("registry apply",), "r", spaces, create_namespace=create)
        for spaces in ((), ("a",))
        for create in (False, True)
        if create or not spaces
    ]
    names = [
        request.manifests(subject)[0]["metadata"]["name"]
        for request in requests
        for subject in subjects
    ]
    assert len(set(names)) == len(names)
    assert all("/" not in name and "%" not in name for name in names)


def test_the_right_to_create_a_namespace_is_in_a_cluster_role() -> None:
    permissions = Permissions(("registry apply",), "r", ("new",), create_namespace=True)
    (role,) = permissions.manifests(None)
    assert role["kind"] == "ClusterRole"
    assert verbs_of(permissions, "namespaces") == {(): {"create"}}
