"""A prune plan deletes what was decided, unless the tags have changed since."""

from datetime import datetime, timezone

import pytest

from regctl.errors import NotInRegistryError, RegistryError
from regctl.images.prune import PrunePlan
from regctl.images.reader import TaggedImage, read_tags
from regctl.images.retention import RetentionRules, decide
from regctl.outcome import Outcome
from regctl.reference import ImageReference
from regctl.registry.client import RegistryClient
from regctl.registry.transport import ConnectionSettings
from tests.conftest import Servers
from tests.servers.standin_registry import Answer, Request, StandinRegistry, standin_registry

NOW = datetime(2026, 11, 24, tzinfo=timezone.utc)
OLD = RetentionRules(older_than=30 * 86400.0)


class Prunable(StandinRegistry):
    """A registry that answers deletions with *status*, and records them."""

    def __init__(self) -> None:
        super().__init__(script=self.delete)
        self.status = 202
        self.deleted: list[str] = []

    def delete(self, request: Request) -> Answer | None:
        if request.method != "DELETE":
            return None
        self.deleted.append(request.path.rpartition("/")[2])
        return Answer(self.status)


@pytest.fixture
def registry(serve: Servers) -> Prunable:
    """`team/app` with tags 1 and lts of one image, and 2 of another."""
    state = Prunable()
    for tag, layer in (("1", b"one"), ("2", b"two"), ("lts", b"one")):
        state.put_image("team/app", tag, layer)
    serve(standin_registry(state))
    return state


def digest_of(registry: StandinRegistry, tag: str) -> str:
    return registry.manifests["team/app"][tag].digest


def plan_of(registry: StandinRegistry, rules: RetentionRules, *more: TaggedImage) -> PrunePlan:
    """The plan for all tags of `team/app`, and for *more*."""
    repository = ImageReference.parse(f"{registry.host}/team/app")
    settings = ConnectionSettings(plain_http=True)
    client = RegistryClient(repository.registry, settings=settings)
    images = read_tags(client, "team/app", registry.tags["team/app"])
    return PrunePlan(client, repository, decide([*images, *more], rules, now=NOW))


def outcomes_of(plan: PrunePlan, *, dry_run: bool = False) -> dict[str, Outcome]:
    """The outcome of each tag."""
    outcomes = [outcome for some in plan.run(dry_run=dry_run) for outcome in some]
    assert len({outcome.name for outcome in outcomes}) == len(outcomes)
    return {outcome.name.rpartition(":")[2]: outcome for outcome in outcomes}


def test_a_digest_is_deleted_once_with_all_its_tags(registry: Prunable) -> None:
    plan = plan_of(registry, OLD)
    assert set(plan.deletions) == {"1", "2", "lts"}
    outcomes = outcomes_of(plan)
    assert {tag: outcome.result for tag, outcome in outcomes.items()} == dict.fromkeys(
        ("1", "2", "lts"), "deleted"
    )
    assert sorted(registry.deleted) == sorted(digest_of(registry, tag) for tag in ("1", "2"))
    first = outcomes["1"]
    assert first.subject == f"image/{registry.host}/team/app:1"
    assert first.note == "built 2026-01-02"
    assert first.details["digest"] == digest_of(registry, "1")
    assert first.details["created"] == "2026-01-02T03:04:05+00:00"


def test_a_dry_run_sends_no_request(registry: Prunable) -> None:
    plan = plan_of(registry, OLD)
    registry.requests.clear()
    outcomes = outcomes_of(plan, dry_run=True)
    assert {outcome.result for outcome in outcomes.values()} == {"deleted"}
    assert outcomes["1"].differences == ("no rule keeps it",)
    assert not registry.requests


def test_kept_tags_have_their_reason(registry: Prunable) -> None:
    outcomes = outcomes_of(
        plan_of(registry, RetentionRules(keep=("lts",), older_than=OLD.older_than))
    )
    kept = {tag: outcome.note for tag, outcome in outcomes.items() if outcome.result == "unchanged"}
    assert kept == {"1": "kept because tag lts needs it", "lts": "kept by --keep lts"}
    assert registry.deleted == [digest_of(registry, "2")]


def test_nothing_is_requested_if_everything_is_kept(registry: Prunable) -> None:
    plan = plan_of(registry, RetentionRules(keep_last=9))
    registry.requests.clear()
    assert {outcome.result for outcome in outcomes_of(plan).values()} == {"unchanged"}
    assert not registry.requests


def test_a_digest_that_a_new_tag_refers_to_is_not_deleted(registry: Prunable) -> None:
    plan = plan_of(registry, OLD)
    registry.put_image("team/app", "new", b"two")
    outcomes = outcomes_of(plan)
    assert registry.deleted == [digest_of(registry, "1")]
    assert (outcomes["2"].result, outcomes["2"].note) == ("skipped", "its tags have changed since")


def test_a_failed_deletion_does_not_hide_the_others(registry: Prunable) -> None:
    registry.status = 500
    outcomes = outcomes_of(plan_of(registry, OLD))
    assert len(registry.deleted) == 2
    assert {outcome.result for outcome in outcomes.values()} == {"failed"}
    assert all(isinstance(outcome.error, RegistryError) for outcome in outcomes.values())


def test_an_unreadable_tag_fails_unless_it_was_deleted_meanwhile(registry: Prunable) -> None:
    broken = TaggedImage("broken", error=RegistryError("cannot read it"))
    gone = TaggedImage("gone", error=NotInRegistryError("not found"))
    outcomes = outcomes_of(plan_of(registry, OLD, broken, gone))
    assert (outcomes["broken"].result, outcomes["broken"].error) == ("failed", broken.error)
    assert (outcomes["gone"].result, outcomes["gone"].note) == (
        "unchanged",
        "kept because it cannot be read",
    )
