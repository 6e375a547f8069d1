"""Tags are added and deleted without uploading an image; a dry run changes nothing."""

import itertools
import json

import pytest

from regctl.errors import (
    DeletionByDigestOnlyError,
    DeletionRefusedError,
    DigestMismatchError,
    NotInRegistryError,
    PartlyDoneError,
    RegistryError,
)
from regctl.images.tags import plan_deletion, tag_digests, tag_image
from regctl.reference import ImageReference
from regctl.registry.client import RegistryClient
from regctl.registry.transport import ConnectionSettings
from regctl.retry import Backoff
from tests.conftest import Servers
from tests.saved_images import OCI_INDEX
from tests.servers.standin_registry import (
    MANIFEST_TYPE,
    Answer,
    Manifest,
    Request,
    StandinRegistry,
    standin_registry,
)


class Writable(StandinRegistry):
    """A registry whose manifests can be uploaded and deleted; *by_tag* if tags can be too."""

    def __init__(self, *, by_tag: bool) -> None:
        super().__init__(script=self.write)
        self.by_tag = by_tag
        self.written: list[tuple[str, str]] = []

    def write(self, request: Request) -> Answer | None:
        if request.method not in {"PUT", "DELETE"}:
            return None
        reference = request.path.rpartition("/")[2]
        self.written.append((request.method, reference))
        if request.method == "PUT":
            self.put_manifest("team/app", reference, Manifest(request.body))
            return Answer(201)
        if ":" not in reference and not self.by_tag:
            return Answer.of({"errors": [{"code": "DIGEST_INVALID"}]}, 400)
        named = self.manifests["team/app"].items()
        self.remove(*[r for r, one in named if reference in {r, one.digest}])
        return Answer(202)

    def remove(self, *references: str) -> None:
        """Remove tags and digests."""
        for reference in references:
            self.manifests["team/app"].pop(reference, None)
        self.tags["team/app"] = [t for t in self.tags["team/app"] if t not in references]


@pytest.fixture
def registry(serve: Servers) -> Writable:
    """`team/app` with tags 1.0 and stable of one image, and 2.0 of another."""
    state = Writable(by_tag=False)
    for tag, layer in (("1.0", b"one"), ("stable", b"one"), ("2.0", b"two")):
        state.put_image("team/app", tag, layer)
    serve(standin_registry(state))
    return state


@pytest.fixture
def client(registry: Writable) -> RegistryClient:
    image = ImageReference.parse(f"{registry.host}/team/app")
    settings = ConnectionSettings(plain_http=True, backoff=Backoff(tries=2, base=0.0))
    return RegistryClient(image.registry, settings=settings)


def image(registry: StandinRegistry, reference: str) -> ImageReference:
    """The image `team/app` with `:TAG` or `@DIGEST`."""
    return ImageReference.parse(f"{registry.host}/team/app{reference}")


def digest_of(registry: StandinRegistry, tag: str) -> str:
    return registry.manifests["team/app"][tag].digest


def test_digests_of_tags_without_those_that_are_gone(
    registry: Writable, client: RegistryClient
) -> None:
    digests = tag_digests(client, "team/app", ["2.0", "gone", "1.0"])
    assert list(digests.items()) == [
        ("2.0", digest_of(registry, "2.0")),
        ("1.0", digest_of(registry, "1.0")),
    ]


@pytest.mark.parametrize(
    ("tag", "result"), [("new", "created"), ("2.0", "configured"), ("stable", "unchanged")]
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_tag_is_added_moved_or_unchanged(
    registry: Writable, client: RegistryClient, tag: str, result: str, *, dry_run: bool
) -> None:
    digest = digest_of(registry, "1.0")
    outcome = tag_image(client, image(registry, ":1.0"), tag, dry_run=dry_run)
    assert outcome.result == result
    assert outcome.subject == f"image/{registry.host}/team/app:{tag}"
    assert outcome.details == {"digest": digest}
    assert registry.written == ([] if dry_run or result == "unchanged" else [("PUT", tag)])
    assert dry_run or digest_of(registry, tag) == digest


def test_an_image_that_does_not_exist_gets_no_tag(
    registry: Writable, client: RegistryClient
) -> None:
    with pytest.raises(NotInRegistryError):
        tag_image(client, image(registry, ":3.0"), "stable")
    assert not registry.written


def test_the_only_tag_of_an_image_is_deleted_alone(
    registry: Writable, client: RegistryClient
) -> None:
    registry.by_tag = True
    deletion = plan_deletion(client, image(registry, ":2.0"))
    assert (deletion.reference, deletion.tags) == ("2.0", ("2.0",))
    assert not registry.written, "a plan changes nothing"
    deletion.run()
    assert registry.written == [("DELETE", "2.0")]


def test_one_of_several_tags_is_deleted_alone(registry: Writable, client: RegistryClient) -> None:
    registry.by_tag = True
    deletion = plan_deletion(client, image(registry, ":1.0"))
    (outcome,) = deletion.run()
    assert registry.written == [("DELETE", "1.0")]
    assert outcome.subject == f"image/{registry.host}/team/app:1.0"
    asked = [(one.method, one.path.rpartition("/")[2]) for one in registry.requests]
    assert asked == [("HEAD", "1.0"), ("DELETE", "1.0"), ("HEAD", "1.0")], "no other tag is read"


def test_a_registry_that_deletes_no_single_tag_deletes_nothing(
    registry: Writable, client: RegistryClient
) -> None:
    deletion = plan_deletion(client, image(registry, ":1.0"))
    with pytest.raises(DeletionByDigestOnlyError):
        deletion.run()
    assert registry.written == [("DELETE", "1.0")], "nothing is deleted by its digest"


def put_index(registry: StandinRegistry, tag: str, digest: str, **more: object) -> str:
    entry = {"mediaType": MANIFEST_TYPE, "digest": digest, "size": 1} | more
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
    return registry.put_manifest("team/app", tag, Manifest(body, OCI_INDEX))


def test_a_digest_that_an_index_needs_is_refused(
    registry: Writable, client: RegistryClient
) -> None:
    digest = digest_of(registry, "1.0")
    index = put_index(registry, "inner", digest)
    put_index(registry, "all", index, mediaType=OCI_INDEX)
    for reference in (f"@{digest}", f"@{index}"):
        with pytest.raises(DeletionRefusedError, match=r"team/app:all.* needs it$") as caught:
            plan_deletion(client, image(registry, reference))
        assert "--force" in (caught.value.hint or "")
    assert plan_deletion(client, image(registry, f"@{digest}"), force=True).reference == digest
    assert plan_deletion(client, image(registry, ":1.0")).reference == "1.0"


def test_a_digest_is_refused_if_an_index_cannot_be_read(
    registry: Writable, client: RegistryClient
) -> None:
    digest = digest_of(registry, "1.0")
    registry.put_manifest("team/app", "all", Manifest(b'{"manifests": 1}', OCI_INDEX))
    with pytest.raises(PartlyDoneError, match="cannot tell whether an index needs"):
        plan_deletion(client, image(registry, f"@{digest}"))
    assert plan_deletion(client, image(registry, f"@{digest}"), force=True).reference == digest


def test_the_digest_that_a_registry_claims_for_a_tag_is_not_believed(
    registry: Writable, client: RegistryClient
) -> None:
    other = digest_of(registry, "2.0")

    def script(request: Request) -> Answer | None:
        if request.path.endswith("/1.0") and request.method in {"GET", "HEAD"}:
            body = registry.manifests["team/app"]["1.0"].body
            claimed = {"Docker-Content-Digest": other, "Content-Type": MANIFEST_TYPE}
            return Answer(200, body, claimed)
        return registry.write(request)

    registry.script = script
    with pytest.raises(DigestMismatchError):
        plan_deletion(client, image(registry, ":1.0"), all_tags=True)
    assert not registry.written


@pytest.mark.parametrize("status", [404, 500])
def test_a_child_that_is_missing_protects_nothing_and_stops_nothing(
    registry: Writable, client: RegistryClient, status: int
) -> None:
    missing = StandinRegistry().put_image("team/app", "any", b"never saved")
    put_index(registry, "all", missing)
    registry.script = lambda request: (
        Answer(status) if request.path.endswith(missing) else registry.write(request)
    )
    digest = digest_of(registry, "1.0")
    assert plan_deletion(client, image(registry, f"@{digest}")).tags == ("1.0", "stable")


@pytest.mark.parametrize("path", ["/tags/list", "/manifests/2.0", "/manifests/stable"])
def test_a_digest_is_kept_if_a_tag_cannot_be_read(
    registry: Writable, client: RegistryClient, path: str
) -> None:
    registry.script = lambda request: (
        Answer(500) if request.path.endswith(path) else registry.write(request)
    )
    whole = image(registry, f"@{digest_of(registry, '1.0')}")
    for force in (False, True):
        with pytest.raises(PartlyDoneError, match="the registry answers 500") as caught:
            plan_deletion(client, whole, force=force)
        assert "--force" not in (caught.value.hint or ""), "it would not help"
    assert not registry.written


@pytest.mark.parametrize("reference", [":1.0", "@DIGEST"])
@pytest.mark.parametrize("looks", [1, 99])
def test_a_registry_may_delete_later_or_never(
    registry: Writable,
    client: RegistryClient,
    monkeypatch: pytest.MonkeyPatch,
    reference: str,
    looks: int,
) -> None:
    """Pulp deletes some seconds after its response; go-containerregistry keeps the tags."""
    monkeypatch.setattr("regctl.images.tags.LOOKS", Backoff(tries=4, base=0.0))
    named = image(registry, reference.replace("DIGEST", digest_of(registry, "1.0")))
    deletion = plan_deletion(client, named)
    seen = itertools.count()

    def script(request: Request) -> Answer | None:
        if request.method == "HEAD" and next(seen) >= looks * len(deletion.tags):
            registry.remove(*deletion.tags)
        return Answer(202) if request.method == "DELETE" else None

    registry.script = script
    if looks == 1:
        assert {outcome.result for outcome in deletion.run()} == {"accepted"}
    else:
        with pytest.raises(RegistryError, match="it is still there"):
            deletion.run()


@pytest.mark.parametrize("by_digest", [False, True])
def test_a_digest_is_deleted_with_all_its_tags(
    registry: Writable, client: RegistryClient, *, by_digest: bool
) -> None:
    digest = digest_of(registry, "1.0")
    reference = f"@{digest}" if by_digest else ":1.0"
    deletion = plan_deletion(client, image(registry, reference), all_tags=not by_digest)
    assert (deletion.reference, deletion.tags) == (digest, ("1.0", "stable"))
    planned = deletion.run(dry_run=True)
    assert not registry.written, "a dry run deletes nothing"
    assert deletion.run() == planned
    assert registry.written == [("DELETE", digest)]
    assert [one.result for one in planned] == ["deleted", "deleted"]


def test_an_image_without_a_tag_is_named_by_its_digest(
    registry: Writable, client: RegistryClient
) -> None:
    registry.tags["team/app"].remove("2.0")
    digest = digest_of(registry, "2.0")
    (outcome,) = plan_deletion(client, image(registry, f"@{digest}")).run(dry_run=True)
    assert outcome.subject == f"image/{registry.host}/team/app@{digest}"


def test_a_registry_that_does_not_delete_is_an_error_of_its_own(
    registry: Writable, client: RegistryClient
) -> None:
    registry.script = lambda r: Answer(405) if r.method == "DELETE" else None
    with pytest.raises(DeletionRefusedError, match="deletion is disabled"):
        plan_deletion(client, image(registry, ":2.0")).run()
