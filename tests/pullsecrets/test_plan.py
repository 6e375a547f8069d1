"""What is wanted, what is there, what is to be done: the plan, without a cluster."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regctl.cluster.ownership import LAST_APPLIED, OUR_LABELS
from regctl.cluster.resource import Namespace
from regctl.cluster.secret import Secret, read_secret
from regctl.credentials.credential import Credential, encode_auth
from regctl.credentials.dockerconfigjson import DOCKERCFG, DOCKERCONFIGJSON, encode_dockerconfigjson
from regctl.errors import (
    ForeignObjectError,
    ImmutableError,
    InvalidInputError,
    InvalidObjectNameError,
    InvalidReferenceError,
    MalformedError,
    NotPermittedError,
)
from regctl.pullsecrets.content import credentials_of, credentials_to_copy
from regctl.pullsecrets.plan import (
    Change,
    Observed,
    PullSecret,
    TakeoverPolicy,
    default_name,
    plan,
    plan_one,
    registry_key,
)
from tests.dockercfg import encode_dockercfg

ALICE = Credential("alice", "secret")
WANTED = PullSecret("regcred", {"r.io": ALICE})
HERE = Namespace("team-a")


def observed(
    credentials: dict[str, Credential] | None = None,
    *,
    ours: bool = True,
    kind: str = DOCKERCONFIGJSON,
    content: bytes | None = None,
    immutable: bool = False,
    **metadata: Any,
) -> Secret:
    """A Secret as the API server would send it."""
    values = {"r.io": ALICE} if credentials is None else credentials
    if kind == DOCKERCFG:
        data = {".dockercfg": encode_dockercfg(values)}
    else:
        encoded = encode_dockerconfigjson(values) if content is None else content
        data = {".dockerconfigjson": encoded}
    labels = dict(OUR_LABELS) if ours else {}
    return read_secret(
        {
            "metadata": {
                "name": "regcred",
                "namespace": "team-a",
                "uid": "1",
                "resourceVersion": "7",
                **metadata,
                "labels": labels | metadata.get("labels", {}),
            },
            "type": kind,
            "immutable": immutable,
            "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
        }
    )


def change_for(secret: Secret, wanted: PullSecret = WANTED, **policy: bool) -> Change:
    return plan_one(wanted, HERE, secret, TakeoverPolicy(**policy))


def entries(change: Change) -> Any:
    assert change.content is not None
    return json.loads(change.content)["auths"]


def test_absent_is_created_the_same_is_unchanged_another_is_updated() -> None:
    assert plan_one(WANTED, HERE, None).action == "create"
    assert change_for(observed()).action == "unchanged"
    assert change_for(observed({"r.io": Credential("alice", "old")})).action == "update"


def test_secrets_are_compared_by_what_they_decode_to() -> None:
    spaced = json.dumps({"auths": {"r.io": {"auth": encode_auth("alice", "secret")}}}, indent=4)
    escaped = PullSecret("regcred", {"r.io": Credential("alice", "<&>é")})
    go = '{"auths":{"r.io":{"username":"alice","password":"\\u003c\\u0026\\u003eé"}}}'
    assert change_for(observed(content=spaced.encode())).action == "unchanged"
    assert change_for(observed(content=go.encode()), escaped).action == "unchanged"


def test_differences_say_what_and_never_the_password() -> None:
    there = {"r.io": Credential("bob", "hunter2", "b@x"), "old.io": Credential("x", "hunter3")}
    change = change_for(observed(there))
    assert list(change.differences) == [
        "r.io: user is bob, not alice",
        "r.io: password differs",
        "r.io: e-mail differs",
        "old.io: not wanted",
    ]
    for password in ("hunter2", "hunter3", "secret"):
        assert password not in repr(change).replace("secret", "", repr(change).count("secret "))
    assert "no longer has old.io" in (change.note or "")


def test_one_change_for_each_namespace_sorted() -> None:
    spaces = (Namespace("b"), Namespace("a"), Namespace("c", terminating=True))
    denied = NotPermittedError("no")
    changes = plan(WANTED, Observed(spaces, {"a": denied}))
    assert [(change.namespace, change.action) for change in changes] == [
        ("a", "refuse"),
        ("b", "create"),
        ("c", "skip"),
    ]
    assert changes[0].error is denied


# Never someone else's


def test_a_secret_that_is_not_ours_is_refused_with_its_maker_named() -> None:
    manager = {"manager": "kubectl-create", "operation": "Update", "fieldsV1": {"f:data": {}}}
    theirs = observed({"r.io": Credential("x", "y")}, ours=False, managedFields=[manager])
    change = change_for(theirs)
    assert change.action == "refuse"
    assert isinstance(change.error, ForeignObjectError)
    assert "kubectl-create" in change.error.message
    assert "--adopt" in (change.error.hint or "")
    assert change_for(theirs, adopt=True).action == "update"
    assert change_for(theirs, adopt=True).note == "adopted from kubectl-create"


def test_one_that_is_not_ours_and_right_is_left_alone_and_adopted_when_asked() -> None:
    theirs = observed(ours=False)
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
@pytest.mark.parametrize("ours", [True, False])
def test_what_a_controller_keeps_is_refused_even_with_adopt(
    metadata: dict[str, Any], owner: str, ours: bool
) -> None:
    """A replica carries its source's labels, ours among them: the marks count for more."""
    theirs = observed({"r.io": Credential("x", "y")}, ours=ours, **metadata)
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
def test_the_source_of_copies_is_not_a_copy(annotation: str) -> None:
    ours = observed({"r.io": Credential("x", "y")}, annotations={annotation: "team-*"})
    assert change_for(ours).action == "update"


def test_a_change_by_another_hand_is_told() -> None:
    fields = [
        {"manager": "regctl", "operation": "Apply", "fieldsV1": {"f:data": {}}},
        {
            "manager": "kubectl-edit",
            "operation": "Update",
            "time": "2026-01-02T03:04:05Z",
            "fieldsV1": {"f:data": {"f:.dockerconfigjson": {}}},
        },
    ]
    change = change_for(observed({"r.io": Credential("x", "y")}, managedFields=fields))
    assert change.action == "update"
    assert change.note == "was changed by kubectl-edit at 2026-01-02T03:04:05Z"


def test_another_type_and_an_immutable_secret_need_replace() -> None:
    for stuck in (
        observed(kind=DOCKERCFG),
        observed({"r.io": Credential("x", "y")}, immutable=True),
    ):
        assert isinstance(change_for(stuck).error, ImmutableError)
        assert change_for(stuck, replace=True).action == "replace"
        assert "recreated" in (change_for(stuck, replace=True).note or "")


def test_an_immutable_secret_that_is_right_is_unchanged() -> None:
    assert change_for(observed(immutable=True)).action == "unchanged"


def test_a_broken_secret_that_regctl_manages_is_repaired() -> None:
    change = change_for(observed(content=b'{"auths": 5}'))
    assert change.action == "update"
    assert change.differences == ("cannot be decoded",)


def test_an_annotation_that_keeps_the_old_password_is_told() -> None:
    old = observed({"r.io": Credential("x", "y")}, annotations={LAST_APPLIED: "{}"})
    assert "keeps the old password" in (change_for(old).note or "")


# Several registries in one Secret


def test_merging_keeps_other_entries_as_they_stand() -> None:
    other = {"username": "x", "password": "y", "auth": "eDp5", "unknown": [1]}
    there = {"auths": {"other.io": other, "https://r.io/v1/": {"auth": encode_auth("a", "b")}}}
    merging = PullSecret("regcred", {"r.io": ALICE}, merge=True)
    change = change_for(observed(content=json.dumps(there).encode()), merging)
    assert change.action == "update"
    assert set(entries(change)) == {"other.io", "r.io"}
    assert entries(change)["other.io"] == other


def test_merging_what_is_there_changes_nothing() -> None:
    merging = PullSecret("regcred", {"r.io": ALICE}, merge=True)
    there = {"other.io": Credential("x", "y"), "r.io": ALICE}
    assert change_for(observed(there), merging).action == "unchanged"
    assert change_for(observed(there)).action == "update"


def test_nothing_is_merged_into_a_broken_secret() -> None:
    merging = PullSecret("regcred", {"r.io": ALICE}, merge=True)
    change = change_for(observed(content=b'{"auths": 5}'), merging)
    assert change.action == "refuse"
    assert isinstance(change.error, MalformedError)


def test_the_older_type_is_merged_when_it_is_replaced() -> None:
    merging = PullSecret("regcred", {"r.io": ALICE}, merge=True)
    old = observed({"other.io": Credential("x", "y")}, kind=DOCKERCFG)
    change = change_for(old, merging, replace=True)
    assert change.action == "replace"
    assert set(entries(change)) == {"other.io", "r.io"}


keys = st.sampled_from(["a.io", "b.io:5000", "https://a.io/v1/", "c.io/team", "*.d.io"])
words = st.text(st.characters(codec="utf-8"), max_size=8)
sets = st.dictionaries(keys, st.builds(Credential, words.filter(lambda w: ":" not in w), words))


@given(sets, sets, st.booleans())
def test_what_a_plan_writes_needs_nothing_more(
    wanted: dict[str, Credential], there: dict[str, Credential], merge: bool
) -> None:
    """Whatever was there: after the change every wanted entry is right, and a second plan rests."""
    desired = PullSecret("regcred", wanted, merge=merge)
    change = change_for(observed(there), desired)
    if change.action == "unchanged":
        return
    after = observed(content=change.content)
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
def test_a_server_as_people_paste_it_becomes_key_and_name(server: str, key: str, name: str) -> None:
    assert registry_key(server) == key
    assert default_name(key) == name
    PullSecret(name, {})


@pytest.mark.parametrize("server", ["", "ftp://r.io", "a b", "user:hunter2@r.io", "r.io:99999"])
def test_what_is_no_server_is_refused_and_no_password_shown(server: str) -> None:
    with pytest.raises(InvalidReferenceError) as caught:
        registry_key(server)
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize("name", ["", "Upper", "under_score", "-x", "a..b", "x" * 254])
def test_a_name_that_kubernetes_refuses_is_refused_first(name: str) -> None:
    with pytest.raises(InvalidObjectNameError):
        PullSecret(name, {})


def test_only_the_entry_asked_for_is_copied() -> None:
    source = observed({"r.io": ALICE, "other.io": Credential("x", "y")})
    assert credentials_to_copy(source, "https://r.io/v1/") == {"r.io": ALICE}
    assert set(credentials_to_copy(source, None)) == {"r.io", "other.io"}
    with pytest.raises(InvalidInputError):
        credentials_to_copy(source, "third.io")
