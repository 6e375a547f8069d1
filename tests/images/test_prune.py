"""A prune plan deletes what was decided, unless the tags have changed since."""

import json
from collections.abc import Callable
from datetime import datetime, timezone

import pytest

from regctl.errors import NotInRegistryError, PartlyDoneError, RegistryError
from regctl.images import tags
from regctl.images.prune import PrunePlan
from regctl.images.reader import TaggedImage, read_tags
from regctl.images.retention import RetentionRules, decide
from regctl.outcome import Outcome
from regctl.reference import ImageReference
from regctl.registry.client import RegistryClient
from regctl.registry.transport import ConnectionSettings
from regctl.retry import Backoff
from tests.conftest import Servers
from tests.saved_images import OCI_INDEX, OCI_MANIFEST
from tests.servers.standin_registry import (
    Answer,
    Manifest,
    Request,
    StandinRegistry,
    standin_registry,
)

NOW = datetime(2026, 11, 24, tzinfo=timezone.utc)
AT_ONCE = Backoff(tries=3, base=0.0)
OLD = RetentionRules(older_than=30 * 86400.0)


class Prunable(StandinRegistry):
    """A registry that answers deletions with *status*, and records them."""

    def __init__(self) -> None:
        super().__init__(script=self.delete)
        self.status = 202
        self.deleted: list[str] = []
        self.after_deletion: Callable[[], object] = lambda: None

    def delete(self, request: Request) -> Answer | None:
        if request.method != "DELETE":
            return None
        digest = request.path.rpartition("/")[2]
        self.deleted.append(digest)
        if self.status == 202:
            self.remove(digest)
            self.after_deletion()
        return Answer(self.status)

    def remove(self, digest: str) -> None:
        """Remove a manifest and its tags, as distribution does."""
        kept = {ref: one for ref, one in self.manifests["team/app"].items() if one.digest != digest}
        self.manifests["team/app"] = kept
        self.tags["team/app"] = [tag for tag in self.tags["team/app"] if tag in kept]

    def put_index(self, tag: str, *children: dict[str, object], **more: object) -> str:
        """Add an index; return its digest."""
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children, **more}
        return self.put_manifest(
            "team/app", tag, Manifest(json.dumps(document).encode(), OCI_INDEX)
        )


@pytest.fixture
def registry(serve: Servers) -> Prunable:
    """`team/app` with tags 1 and lts of one image, and 2 of another."""
    state = Prunable()
    for tag, layer in (("1", b"one"), ("2", b"two"), ("lts", b"one")):
        state.put_image("team/app", tag, layer)
    serve(standin_registry(state))
    return state


def digest_of_layer(layer: bytes) -> str:
    """The digest of an image with one layer."""
    return StandinRegistry().put_image("team/app", "any", layer)


ONE, TWO = digest_of_layer(b"one"), digest_of_layer(b"two")


def plan_of(registry: StandinRegistry, rules: RetentionRules, *more: TaggedImage) -> PrunePlan:
    """The plan for all tags of `team/app`, and for *more*."""
    repository = ImageReference.parse(f"{registry.host}/team/app")
    settings = ConnectionSettings(plain_http=True, backoff=AT_ONCE)
    client = RegistryClient(repository.registry, settings=settings)
    images = read_tags(client, "team/app", registry.tags["team/app"], needs=True)
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
    assert sorted(registry.deleted) == sorted((ONE, TWO))
    first = outcomes["1"]
    assert first.subject == f"image/{registry.host}/team/app:1"
    assert first.note == "built 2026-01-02"
    assert first.details["digest"] == ONE
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
    assert registry.deleted == [TWO]


def test_nothing_is_requested_if_everything_is_kept(registry: Prunable) -> None:
    plan = plan_of(registry, RetentionRules(keep_last=9))
    registry.requests.clear()
    assert {outcome.result for outcome in outcomes_of(plan).values()} == {"unchanged"}
    assert not registry.requests


def test_a_digest_that_a_new_tag_refers_to_is_not_deleted(registry: Prunable) -> None:
    plan = plan_of(registry, OLD)
    registry.put_image("team/app", "new", b"two")
    outcomes = outcomes_of(plan)
    assert registry.deleted == [ONE]
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


def descriptor(digest: str, media_type: str = OCI_MANIFEST, **more: object) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest, "size": 1, **more}


def failing(registry: Prunable, digest: str, status: int) -> None:
    """Answer requests for this manifest with an error."""

    def script(request: Request) -> Answer | None:
        faulty = request.path.endswith(digest) and request.method == "GET"
        return Answer(status) if faulty else registry.delete(request)

    registry.script = script


KEEP_ALL = RetentionRules(keep=("all",), older_than=OLD.older_than)


def test_what_a_kept_index_refers_to_is_kept(registry: Prunable) -> None:
    """Platforms, attestations, nested indexes and the subject of the index."""
    unknown = {"os": "unknown", "architecture": "unknown"}
    attestation = registry.put_image("team/app", "attestation", b"attestation")
    subject = registry.put_image("team/app", "subject", b"subject")
    inner = registry.put_image("team/app", "inner", b"inner")
    nested = registry.put_index("nested", descriptor(inner))
    registry.put_index(
        "all",
        descriptor(ONE),
        descriptor(attestation, platform=unknown),
        descriptor(nested, OCI_INDEX),
        subject=descriptor(subject),
    )
    outcomes = outcomes_of(plan_of(registry, KEEP_ALL))
    assert {tag for tag, one in outcomes.items() if one.result == "deleted"} == {"2"}
    assert outcomes["inner"].note == "kept because tag all needs it"
    assert registry.deleted == [TWO]


@pytest.mark.parametrize("status", [404, 500])
def test_what_a_kept_index_refers_to_is_kept_although_it_cannot_be_read(
    registry: Prunable, status: int
) -> None:
    other = digest_of_layer(b"another platform")
    registry.put_index("all", descriptor(ONE), descriptor(other))
    failing(registry, other, status)
    outcomes = outcomes_of(plan_of(registry, KEEP_ALL))
    assert registry.deleted == [TWO]
    assert outcomes["1"].note == outcomes["lts"].note == "kept because tag all needs it"


@pytest.mark.parametrize("status", [404, 500])
@pytest.mark.parametrize("inner", [False, True])
def test_an_index_that_cannot_be_read_stops_deletion(
    registry: Prunable, status: int, *, inner: bool
) -> None:
    index = registry.put_index("all", descriptor(ONE))
    if inner:
        registry.remove(index)
        registry.put_index("all", descriptor(index, OCI_INDEX))
    failing(registry, index if inner else "all", status)
    outcomes = outcomes_of(plan_of(registry, KEEP_ALL))
    assert registry.deleted == []
    assert isinstance(outcomes["all"].error, PartlyDoneError)
    assert outcomes["2"].note == "kept because it is unknown what tag all needs"


def test_an_index_that_is_pushed_between_two_deletions_keeps_its_images(
    registry: Prunable,
) -> None:
    registry.after_deletion = lambda: registry.put_index("new", descriptor(ONE), descriptor(TWO))
    outcomes = outcomes_of(plan_of(registry, OLD))
    (deleted,) = registry.deleted
    kept = {tag for tag, one in outcomes.items() if one.result == "skipped"}
    assert kept == ({"2"} if deleted == ONE else {"1", "lts"})


def test_tags_that_cannot_be_read_again_stop_deletion(registry: Prunable) -> None:
    plan = plan_of(registry, OLD)

    def script(request: Request) -> Answer | None:
        return Answer(500) if request.method == "HEAD" else registry.delete(request)

    registry.script = script
    outcomes = outcomes_of(plan)
    assert registry.deleted == []
    assert all(isinstance(one.error, PartlyDoneError) for one in outcomes.values())


def test_an_index_that_was_not_deleted_keeps_its_images(registry: Prunable) -> None:
    index = registry.put_index("0", descriptor(ONE))

    def script(request: Request) -> Answer | None:
        return (
            Answer(403)
            if request.path.endswith(index) and request.method == "DELETE"
            else (registry.delete(request))
        )

    registry.script = script
    outcomes = outcomes_of(plan_of(registry, OLD))
    assert registry.deleted == [TWO]
    assert {tag: one.result for tag, one in outcomes.items()} == {
        "0": "failed",
        "1": "skipped",
        "2": "deleted",
        "lts": "skipped",
    }


def test_an_index_that_is_still_there_after_its_deletion_keeps_its_images(
    registry: Prunable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regctl.images.prune.LOOKS", Backoff(tries=2, base=0.0))
    index = registry.put_index("0", descriptor(ONE))

    def script(request: Request) -> Answer | None:
        stays = request.path.endswith(index) and request.method == "DELETE"
        return Answer(202) if stays else registry.delete(request)

    registry.script = script
    outcomes = outcomes_of(plan_of(registry, OLD))
    assert registry.deleted == [TWO]
    assert outcomes["0"].result == "failed"
    assert outcomes["1"].result == outcomes["lts"].result == "skipped"


@pytest.mark.parametrize(("looks", "result"), [(0, "deleted"), (2, "accepted"), (99, "failed")])
def test_a_registry_may_delete_later_or_never(
    registry: Prunable, monkeypatch: pytest.MonkeyPatch, looks: int, result: str
) -> None:
    """Pulp deletes some seconds after its response; go-containerregistry keeps the tags."""
    monkeypatch.setattr("regctl.images.prune.LOOKS", Backoff(tries=4, base=0.0))
    pending: list[str] = []
    seen = 0

    def script(request: Request) -> Answer | None:
        nonlocal seen
        if request.method == "DELETE":
            pending.append(request.path.rpartition("/")[2])
            return Answer(202)
        if request.method == "HEAD" and len(pending) == 2:
            seen += 1
            if seen > looks:
                for digest in pending:
                    registry.remove(digest)
        return None

    plan = plan_of(registry, OLD)
    registry.script = script
    if looks == 0:
        registry.script = registry.delete
    assert {one.result for one in outcomes_of(plan).values()} == {result}
    assert tags.LOOKS.tries == 9, "the time for Pulp"
