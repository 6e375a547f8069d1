"""
`image prune` at a hostile registry: what a kept tag needs is never deleted.

What cannot be read counts as needed: it is kept and said, and the command exits with 3.
"""

import json
from collections.abc import Callable, Iterable
from datetime import datetime, timezone

import pytest

from regctl.errors import RegctlError
from regctl.images.prune import PrunePlan
from regctl.images.reader import read_tags
from regctl.images.retention import RetentionRules, decide
from regctl.outcome import Outcome, failure_of
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
RULES = RetentionRules(keep=("keep*",), older_than=3600.0)
REPOSITORY = "team/app"
DOOMED = ("1", "2", "3", "4")
UNKNOWN = {"os": "unknown", "architecture": "unknown"}


class Hostile(StandinRegistry):
    """
    Old images 1 to 4, and `keep`: an index of a platform and an attestation with tags of their own.

    It also lists an image that nobody uploaded. A test may *nest* another index in it, add a
    *fault*, which answers first, and change the registry *after* a number of deletions.
    """

    def __init__(self) -> None:
        super().__init__(script=self._script, page=5)
        self.fault: Callable[[Request], Answer | None] = lambda _request: None
        self.after: dict[int, Callable[[], object]] = {}
        self.deleted: list[str] = []
        self.doomed = {tag: self.put_image(REPOSITORY, tag, tag.encode()) for tag in DOOMED}
        needed = ("platform", "attestation")
        self.needed = {tag: self.put_image(REPOSITORY, tag, tag.encode()) for tag in needed}
        self.keep = self._put_keep()

    def nest(self) -> None:
        """Add an index of another image to `keep`."""
        self.needed["child"] = self.put_image(REPOSITORY, "child", b"child")
        self.needed["nested"] = self.put_index("nested", entry(self.needed["child"]))
        del self.manifests[REPOSITORY][self.keep]
        self.keep = self._put_keep(entry(self.needed["nested"], mediaType=OCI_INDEX))

    def _put_keep(self, *more: dict[str, object]) -> str:
        return self.put_index(
            "keep",
            *more,
            entry(self.needed["platform"]),
            entry(self.needed["attestation"], platform=UNKNOWN),
            entry(StandinRegistry().put_image(REPOSITORY, "any", b"nobody uploaded it")),
        )

    def put_index(self, tag: str, *children: dict[str, object]) -> str:
        body = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children}
        return self.put_manifest(REPOSITORY, tag, Manifest(json.dumps(body).encode(), OCI_INDEX))

    def _script(self, request: Request) -> Answer | None:
        if (answer := self.fault(request)) is not None or request.method != "DELETE":
            return answer
        digest = request.path.rpartition("/")[2]
        self.deleted.append(digest)
        by_reference = self.manifests[REPOSITORY]
        for reference in [ref for ref, one in by_reference.items() if one.digest == digest]:
            del by_reference[reference]
        self.tags[REPOSITORY] = [tag for tag in self.tags[REPOSITORY] if tag in by_reference]
        self.after.get(len(self.deleted), lambda: None)()
        return Answer(202)

    @property
    def deleted_tags(self) -> set[str]:
        """The tags of what was deleted, as they were at the beginning."""
        names = {digest: tag for tag, digest in {**self.doomed, **self.needed}.items()}
        return {names[digest] for digest in self.deleted}


def entry(digest: str, **more: object) -> dict[str, object]:
    return {"mediaType": OCI_MANIFEST, "digest": digest, "size": 1, **more}


@pytest.fixture
def registry(serve: Servers) -> Hostile:
    return serve(standin_registry(Hostile()))  # type: ignore[return-value]


def plan_of(registry: Hostile) -> PrunePlan:
    repository = ImageReference.parse(f"{registry.host}/{REPOSITORY}")
    settings = ConnectionSettings(plain_http=True, backoff=Backoff(tries=2, base=0.0))
    client = RegistryClient(repository.registry, settings=settings)
    images = read_tags(client, REPOSITORY, client.tags(REPOSITORY), needs=True)
    return PrunePlan(client, repository, decide(tuple(images), RULES, now=NOW))


def run(plan: PrunePlan) -> tuple[dict[str, Outcome], int]:
    """Carry out the plan; return the outcome of each tag, and the exit code."""
    outcomes = [outcome for some in plan.run() for outcome in some]
    failure = failure_of(outcomes)
    found = {outcome.name.rpartition(":")[2]: outcome for outcome in outcomes}
    assert len(found) == len(outcomes)
    return found, failure.exit_code if failure is not None else 0


def at(path: str, answer: Answer, *methods: str) -> Callable[[Request], Answer | None]:
    """Give this answer to requests for what ends with a path."""
    wanted = methods or ("GET", "HEAD")
    return lambda one: answer if one.path.endswith(path) and one.method in wanted else None


def results(outcomes: dict[str, Outcome], tags: Iterable[str]) -> set[str]:
    return {outcomes[tag].result for tag in tags}


def test_a_child_that_is_missing_stops_nothing(registry: Hostile) -> None:
    """The scene of the other tests: without a fault, only what nobody needs is deleted."""
    outcomes, code = run(plan_of(registry))
    assert registry.deleted_tags == set(DOOMED)
    kept = {outcomes[tag].note for tag in registry.needed}
    assert kept == {"kept because tag keep needs it"}
    assert code == 0


def test_an_index_within_an_index_keeps_its_images(registry: Hostile) -> None:
    """regctl cannot tell when it was built, and says so."""
    registry.nest()
    outcomes, code = run(plan_of(registry))
    assert registry.deleted_tags == set(DOOMED)
    assert outcomes["child"].note == "kept because tag keep needs it"
    assert "it is an index within an index" in str(outcomes["keep"].error)
    assert code == 3


@pytest.mark.parametrize("status", [403, 404, 500])
def test_one_deletion_that_fails_hides_no_other(registry: Hostile, status: int) -> None:
    registry.fault = at(registry.doomed["2"], Answer(status), "DELETE")
    outcomes, code = run(plan_of(registry))
    assert registry.deleted_tags == {"1", "3", "4"}
    assert outcomes["2"].result == "failed"
    assert code == 3


@pytest.mark.parametrize("name", ["keep", "nested"])
@pytest.mark.parametrize(
    "answer",
    [
        Answer(404),
        Answer(500),
        Answer(200, b"{", {"Content-Type": OCI_INDEX}),
        Answer(200, b'{"manifests": 1}', {"Content-Type": OCI_INDEX}),
        Answer(200, b'{"schemaVersion": 2, "manifests": []}', {"Content-Type": OCI_INDEX}),
    ],
    ids=["missing", "500", "not JSON", "no list", "another content"],
)
def test_an_index_that_cannot_be_read_keeps_everything(
    registry: Hostile, name: str, answer: Answer
) -> None:
    """Content that does not have the digest it is requested by is not believed either."""
    registry.nest()
    digest = registry.keep if name == "keep" else registry.needed["nested"]
    faults = [at(digest, answer, "GET")]
    if name == "keep":
        if answer.body.endswith(b"[]}"):
            answer = Answer(200, answer.body, answer.headers | {"Docker-Content-Digest": digest})
        faults.append(at("/keep", answer, "GET"))
    registry.fault = lambda request: next(filter(None, (one(request) for one in faults)), None)
    _, code = run(plan_of(registry))
    assert registry.deleted == []
    assert code == 3


@pytest.mark.parametrize("path", ["/tags/list", "/manifests/keep", "/manifests/3"])
@pytest.mark.parametrize("deletions", [0, 1, 2])
def test_tags_that_cannot_be_read_again_stop_the_deletion(
    registry: Hostile, path: str, deletions: int
) -> None:
    plan = plan_of(registry)
    fault = at(path, Answer(500))
    registry.fault = lambda one: fault(one) if len(registry.deleted) >= deletions else None
    outcomes, code = run(plan)
    assert len(registry.deleted) == deletions
    assert registry.deleted_tags <= set(DOOMED)
    failed = [outcomes[tag] for tag in DOOMED if outcomes[tag].result == "failed"]
    assert len(failed) == len(DOOMED) - deletions
    assert all("nothing more is deleted" in str(one.error) for one in failed)
    assert code == 3


@pytest.mark.parametrize("last", ["", "4"])
def test_a_list_that_fails_at_the_beginning_deletes_nothing(registry: Hostile, last: str) -> None:
    """On its first page, or on its second."""
    registry.fault = lambda request: (
        Answer(500)
        if request.path.endswith("/tags/list") and request.query.get("last", "") >= last
        else None
    )
    with pytest.raises(RegctlError, match="cannot list the tags"):
        plan_of(registry)
    assert registry.deleted == []


def test_a_digest_that_is_claimed_for_every_tag_stops_the_deletion(registry: Hostile) -> None:
    plan = plan_of(registry)
    claimed = {"Docker-Content-Digest": f"sha256:{'0' * 64}", "Content-Length": "9"}
    registry.fault = lambda one: Answer(200, headers=claimed) if one.method == "HEAD" else None
    _, code = run(plan)
    assert registry.deleted == []
    assert code == 3


def test_a_kept_tag_that_is_moved_to_an_old_image_keeps_it(registry: Hostile) -> None:
    """Also if the registry only claims that."""
    plan = plan_of(registry)
    claimed = {"Docker-Content-Digest": registry.doomed["1"], "Content-Length": "9"}
    registry.fault = at("/manifests/keep", Answer(200, headers=claimed), "HEAD")
    outcomes, code = run(plan)
    assert registry.deleted_tags == {"2", "3", "4"}
    assert outcomes["1"].note == "its tags have changed since"
    assert code == 0


@pytest.mark.parametrize("deletions", [1, 2])
@pytest.mark.parametrize("change", ["tag", "index", "nested index"])
def test_a_tag_that_appears_keeps_what_it_needs(
    registry: Hostile, change: str, deletions: int
) -> None:
    plan = plan_of(registry)
    order = list(
        dict.fromkeys(
            one.tagged.image.digest for one in plan.deletions.values() if one.tagged.image
        )
    )
    (old,) = order[deletions : deletions + 1]
    tag = next(name for name, digest in registry.doomed.items() if digest == old)

    def appear() -> None:
        if change == "tag":
            registry.put_image(REPOSITORY, "new", tag.encode())
        else:
            index = registry.put_index("new", entry(old))
            if change == "nested index":
                registry.put_index("new", entry(index, mediaType=OCI_INDEX))

    registry.after[deletions] = appear
    outcomes, code = run(plan)
    assert registry.deleted_tags == set(DOOMED) - {tag}
    assert outcomes[tag].note == "its tags have changed since"
    assert code == 0


def test_a_new_index_that_cannot_be_read_stops_the_deletion(registry: Hostile) -> None:
    plan = plan_of(registry)
    index = registry.put_index("new", entry(registry.doomed["1"]))
    registry.fault = at(index, Answer(500), "GET")
    _, code = run(plan)
    assert registry.deleted == []
    assert code == 3


@pytest.mark.parametrize("to", ["another image", "an index"])
def test_a_tag_that_is_moved_is_read_again_right_before_its_deletion(
    registry: Hostile, to: str
) -> None:
    """In a repository where all tags are not read again before each deletion."""
    for number in range(60):
        registry.put_image(REPOSITORY, f"keep-{number}", b"keep %d" % number)
    plan = plan_of(registry)
    first, moved, third, _ = plan.deletions
    if to == "another image":
        registry.after[1] = lambda: registry.put_image(REPOSITORY, moved, b"pushed since")
    else:
        index = entry(registry.doomed[third])
        registry.after[1] = lambda: registry.put_index(moved, index)
    outcomes, code = run(plan)
    kept = {moved} if to == "another image" else {moved, third}
    assert registry.deleted_tags == set(DOOMED) - kept
    assert first in registry.deleted_tags
    assert results(outcomes, kept) == {"skipped"}
    assert code == 0


@pytest.mark.parametrize("count", [50, 100])
def test_the_number_of_requests_is_in_proportion_to_the_number_of_tags(
    registry: Hostile, count: int
) -> None:
    for number in range(count):
        registry.put_image(REPOSITORY, f"old-{number}", b"old %d" % number)
        registry.put_image(REPOSITORY, f"keep-{number}", b"keep %d" % number)
    plan = plan_of(registry)
    registry.requests.clear()
    outcomes, code = run(plan)
    assert results(outcomes, (f"old-{number}" for number in range(count))) == {"deleted"}
    tags = len(outcomes)
    assert len(registry.requests) <= 10 * tags
    assert code == 0
