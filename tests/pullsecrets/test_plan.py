"""The plan of a pull secret, without a cluster."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regctl.cluster.ownership import LAST_APPLIED
from regctl.cluster.resource import Namespace
from regctl.cluster.secret import Secret
from regctl.credentials.credential import Credential, encode_auth
from regctl.credentials.dockerconfigjson import DOCKERCFG
from regctl.errors import (
    ForeignObjectError,
    ImmutableError,
    InvalidObjectNameError,
    InvalidReferenceError,
    MalformedError,
    NotPermittedError,
)
from regctl.pullsecrets.content import credentials_of
from regctl.pullsecrets.plan import (
    Change,
    PullSecret,
    TakeoverPolicy,
    default_name,
    plan,
    plan_one,
    registry_key,
)
from tests.pullsecrets.secrets import ALICE, pull_secret

WANTED = PullSecret("regcred", {"r.io": ALICE})
HERE = Namespace("team-a")


def change_for(secret: Secret, wanted: PullSecret = WANTED, **policy: bool) -> Change:
    return plan_one(wanted, HERE, secret, TakeoverPolicy(**policy))


def entries(change: Change) -> Any:
    assert change.content is not None
    return json.loads(change.content)["auths"]


def test_a_secret_is_created_unchanged_or_updated() -> None:
    assert plan_one(WANTED, HERE, None).action == "create"
    assert change_for(pull_secret()).action == "unchanged"
    assert change_for(pull_secret({"r.io": Credential("alice", "old")})).action == "update"


def test_secrets_are_compared_by_their_decoded_content() -> None:
    spaced = json.dumps({"auths": {"r.io": {"auth": encode_auth("alice", "secret")}}}, indent=4)
    escaped = PullSecret("regcred", {"r.io": Credential("alice", "<&>é")})
    go = '{"auths":{"r.io":{"username":"alice","password":"\\u003c\\u0026\\u003eé"}}}'
    assert change_for(pull_secret(content=spaced.encode())).action == "unchanged"
    assert change_for(pull_secret(content=go.encode()), escaped).action == "unchanged"


def test_differences_have_no_password() -> None:
    there = {"r.io": Credential("bob", "hunter2", "b@x"), "old.io": Credential("x", "hunter3")}
    change = change_for(pull_secret(there))
    assert list(change.differences) == [
        "r.io: user is bob, not alice",
        "r.io: password differs",
        "r.io: e-mail differs",
        "old.io: not wanted",
    ]
    for password in ("hunter2", "hunter3", "secret"):
        assert password not in repr(change).replace("secret", "", repr(change).count("secret "))
    assert "no longer has old.io" in (change.note or "")


def test_there_is_one_change_for_each_namespace_sorted() -> None:
    spaces = (Namespace("b"), Namespace("a"), Namespace("c", terminating=True))
    denied = NotPermittedError("no")
    changes = plan(WANTED, dict.fromkeys(spaces) | {spaces[1]: denied})
    assert [(change.namespace, change.action) for change in changes] == [
        ("a", "refuse"),
        ("b", "create"),
        ("c", "skip"),
    ]
    assert changes[0].error is denied


# Secrets of other owners


def test_a_foreign_secret_is_refused_with_its_owner() -> None:
    manager = {"manager": "kubectl-create", "operation": "Update", "fieldsV1": {"f:data": {}}}
    theirs = pull_secret({"r.io": Credential("x", "y")}, managed=False, managedFields=[manager])
    change = change_for(theirs)
    assert change.action == "refuse"
    assert isinstance(change.error, ForeignObjectError)
    assert "kubectl-create" in change.error.message
    assert "--adopt" in (change.error.hint or "")
    assert change_for(theirs, adopt=True).action == "update"
    assert change_for(theirs, adopt=True).note == "adopted from kubectl-create"


def test_a_foreign_secret_with_the_right_content_is_unchanged_or_adopted() -> None:
    theirs = pull_secret(managed=False)
    assert change_for(theirs).action == "unchanged"
    assert change_for(theirs).note == "not managed by regctl"
    assert change_for(theirs, adopt=True).action == "update"


@pytest.mark.parametrize(
    ("metadata", "owner"),
    [
        ({"ownerReferences": [{"kind": "ExternalSecret", "name": "pull"}]}, "ExternalSecret pull"),
        ({"annotations": {"meta.helm.sh/release-name": "web"}}, "Helm"),
        ({"labels": {"argocd.argoproj.io/instance": "web"}}, "Argo CD"),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "web:/Secret"}}, "Argo CD"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "web"}}, "Flux"),
        ({"labels": {"helm.toolkit.fluxcd.io/name": "web"}}, "Flux"),
        ({"annotations": {"replicator.v1.mittwald.de/replicated-at": "x"}}, "replicator"),
        ({"annotations": {"replicator.v1.mittwald.de/replicate-from": "a/b"}}, "replicator"),
        ({"annotations": {"reflector.v1.k8s.emberstack.com/reflects": "a/b"}}, "reflector"),
        ({"annotations": {"clustersecret.io/created-by": "x"}}, "ClusterSecret"),
        ({"labels": {"reconcile.external-secrets.io/managed": "true"}}, "External Secrets"),
        ({"annotations": {"sealedsecrets.bitnami.com/managed": "true"}}, "Sealed Secrets"),
        ({"annotations": {"app.kubernetes.io/managed-by": "patcher"}}, "patcher"),
    ],
)
@pytest.mark.parametrize("managed", [True, False])
def test_a_controllers_secret_is_refused_even_with_adopt(
    metadata: dict[str, Any], owner: str, managed: bool
) -> None:
    """A replica has its source's labels, also that of regctl: a controller's mark wins."""
    theirs = pull_secret({"r.io": Credential("x", "y")}, managed=managed, **metadata)
    change = change_for(theirs, adopt=True, replace=True)
    assert isinstance(change.error, ForeignObjectError)
    assert owner in change.error.message


@pytest.mark.parametrize(
    "annotation",
    [
        "replicator.v1.mittwald.de/replicate-to",
        "reflector.v1.k8s.emberstack.com/reflection-allowed",
    ],
)
def test_a_source_of_copies_may_be_changed(annotation: str) -> None:
    source = pull_secret({"r.io": Credential("x", "y")}, annotations={annotation: "team-*"})
    assert change_for(source).action == "update"


def test_the_note_names_who_changed_the_secret() -> None:
    fields = [
        {"manager": "regctl", "operation": "Apply", "fieldsV1": {"f:data": {}}},
        {
            "manager": "kubectl-edit",
            "operation": "Update",
            "time": "2026-01-02T03:04:05Z",
            "fieldsV1": {"f:data": {"f:.dockerconfigjson": {}}},
        },
    ]
    change = change_for(pull_secret({"r.io": Credential("x", "y")}, managedFields=fields))
    assert change.action == "update"
    assert change.note == "was changed by kubectl-edit at 2026-01-02T03:04:05Z"


def test_another_type_and_an_immutable_secret_need_replace() -> None:
    for stuck in (
        pull_secret(kind=DOCKERCFG),
        pull_secret({"r.io": Credential("x", "y")}, immutable=True),
    ):
        assert isinstance(change_for(stuck).error, ImmutableError)
        assert change_for(stuck, replace=True).action == "replace"
        assert "recreated" in (change_for(stuck, replace=True).note or "")


def test_an_immutable_secret_with_the_right_content_is_unchanged() -> None:
    assert change_for(pull_secret(immutable=True)).action == "unchanged"


def test_a_broken_secret_that_regctl_manages_is_repaired() -> None:
    change = change_for(pull_secret(content=b'{"auths": 5}'))
    assert change.action == "update"
    assert change.differences == ("cannot be decoded",)


def test_the_note_warns_of_an_annotation_with_the_old_password() -> None:
    old = pull_secret({"r.io": Credential("x", "y")}, annotations={LAST_APPLIED: "{}"})
    assert "keeps the old password" in (change_for(old).note or "")


# Several registries in one Secret


def test_merging_keeps_other_entries_as_they_are() -> None:
    other = {"username": "x", "password": "y", "auth": "eDp5", "unknown": [1]}
    there = {"auths": {"other.io": other, "https://r.io/v1/": {"auth": encode_auth("a", "b")}}}
    merging = PullSecret("regcred", {"r.io": ALICE}, merge=True)
    change = change_for(pull_secret(content=json.dumps(there).encode()), merging)
    assert change.action == "update"
    assert set(entries(change)) == {"other.io", "r.io"}
    assert entries(change)["other.io"] == other


def test_merging_an_existing_entry_changes_nothing() -> None:
    merging = PullSecret("regcred", {"r.io": ALICE}, merge=True)
    there = {"other.io": Credential("x", "y"), "r.io": ALICE}
    assert change_for(pull_secret(there), merging).action == "unchanged"
    assert change_for(pull_secret(there)).action == "update"


def test_nothing_is_merged_into_a_broken_secret() -> None:
    merging = PullSecret("regcred", {"r.io": ALICE}, merge=True)
    change = change_for(pull_secret(content=b'{"auths": 5}'), merging)
    assert change.action == "refuse"
    assert isinstance(change.error, MalformedError)


def test_a_replaced_secret_of_the_old_type_keeps_its_entries() -> None:
    merging = PullSecret("regcred", {"r.io": ALICE}, merge=True)
    old = pull_secret({"other.io": Credential("x", "y")}, kind=DOCKERCFG)
    change = change_for(old, merging, replace=True)
    assert change.action == "replace"
    assert set(entries(change)) == {"other.io", "r.io"}


keys = st.sampled_from(["a.io", "b.io:5000", "https://a.io/v1/", "c.io/team", "*.d.io"])
words = st.text(st.characters(codec="utf-8"), max_size=8)
sets = st.dictionaries(keys, st.builds(Credential, words.filter(lambda w: ":" not in w), words))


@given(sets, sets, st.booleans())
def test_a_planned_content_needs_no_second_change(
    wanted: dict[str, Credential], there: dict[str, Credential], merge: bool
) -> None:
    """After a change every wanted entry is right, and a second plan has no change."""
    desired = PullSecret("regcred", wanted, merge=merge)
    change = change_for(pull_secret(there), desired)
    if change.action == "unchanged":
        return
    after = pull_secret(content=change.content)
    assert wanted.items() <= credentials_of(after).items()
    assert merge or wanted.keys() == credentials_of(after).keys()
    assert change_for(after, desired).action == "unchanged"


# Names and keys


@pytest.mark.parametrize(
    ("server", "key", "name"),
    [
        ("registry.foo.com", "registry.foo.com", "registry.foo.com"),
        ("Registry.Foo.com", "registry.foo.com", "registry.foo.com"),
        ("https://registry.foo.com/v2/_catalog", "registry.foo.com", "registry.foo.com"),
        ("http://r.io:5000/", "r.io:5000", "r.io-5000"),
        ("r.io/team", "r.io/team", "r.io"),
        ("docker.io", "https://index.docker.io/v1/", "docker.io"),
        ("*.foo.com", "*.foo.com", "any.foo.com"),
        ("[::1]:5000", "[::1]:5000", "1-5000"),
    ],
)
def test_a_pasted_server_gives_key_and_name(server: str, key: str, name: str) -> None:
    assert registry_key(server) == key
    assert default_name(key) == name
    PullSecret(name, {})


@pytest.mark.parametrize("server", ["", "ftp://r.io", "a b", "user:hunter2@r.io", "r.io:99999"])
def test_a_bad_server_is_refused_without_showing_a_password(server: str) -> None:
    with pytest.raises(InvalidReferenceError) as caught:
        registry_key(server)
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize("name", ["", "Upper", "under_score", "-x", "a..b", "x" * 254])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidObjectNameError):
        PullSecret(name, {})
