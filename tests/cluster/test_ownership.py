"""Who owns an object, and which objects regctl refuses to change."""

import pytest

from regctl.cluster.ownership import MANAGED_BY, Ownership, foreign_object, read_ownership

HAND = {
    "managedFields": [
        {"manager": "kubectl-create", "operation": "Update", "fieldsV1": {"f:data": {}}},
        {"manager": "regctl", "operation": "Apply", "fieldsV1": {"f:data": {}}},
        {"manager": "labeler", "operation": "Update", "fieldsV1": {"f:metadata": {}}},
    ]
}


def test_the_label_makes_an_object_managed() -> None:
    ownership = read_ownership({"labels": {MANAGED_BY: "regctl"}})
    assert ownership == Ownership(managed=True, controller=None)
    assert ownership.owner == "regctl"


def test_without_the_label_the_owner_is_who_wrote_the_data() -> None:
    assert read_ownership(HAND).owner == "kubectl-create"
    assert read_ownership({}).owner == "somebody else"


@pytest.mark.parametrize(
    ("metadata", "owner"),
    [
        ({"ownerReferences": [{"kind": "Job", "name": "sync"}]}, "Job sync"),
        ({"annotations": {"meta.helm.sh/release-name": "web"}}, "Helm"),
        ({"annotations": {"sealedsecrets.bitnami.com/managed": "true"}}, "Sealed Secrets"),
        ({"labels": {MANAGED_BY: "Helm"}}, "Helm"),
        ({"annotations": {"replicator.v1.mittwald.de/replicated-from-version": "7"}}, "replicator"),
    ],
)
def test_a_controllers_object_is_refused_even_with_adopt(
    metadata: dict[str, object], owner: str
) -> None:
    ownership = read_ownership({"labels": {MANAGED_BY: "regctl"}} | metadata)
    refusal = foreign_object("secret x", ownership, verb="change", adopt=True)
    assert refusal is not None
    assert refusal.message.startswith("cannot change secret x: it belongs to ")
    assert refusal.message.endswith(", which would restore it")
    assert owner in refusal.message
    assert refusal.hint == "change it at its source"


def test_a_replicators_source_belongs_to_the_user() -> None:
    metadata = {"annotations": {"replicator.v1.mittwald.de/replicate-to": "team-a"}}
    assert read_ownership(metadata).controller is None


def test_an_object_made_by_hand_needs_adopt() -> None:
    hand = read_ownership(HAND)
    refusal = foreign_object("secret x", hand, verb="change", adopt=False, instead="leave it")
    assert refusal is not None
    assert (
        refusal.message == "cannot change secret x: it is managed by kubectl-create, not by regctl"
    )
    assert refusal.hint == "`--adopt` takes it over, or leave it"
    assert foreign_object("secret x", hand, verb="change", adopt=True) is None
    deletion = foreign_object("secret x", hand, verb="delete", adopt=False)
    assert deletion is not None
    assert deletion.hint == "`--adopt` deletes it anyway"


def test_a_managed_object_is_permitted() -> None:
    managed = read_ownership({"labels": {MANAGED_BY: "regctl"}})
    assert foreign_object("secret x", managed, verb="delete", adopt=False) is None
