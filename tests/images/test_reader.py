"""Images in a registry are read with as few requests as possible, and in order."""

import json
from collections.abc import Iterator

import pytest

from regctl.errors import MalformedError, NotInRegistryError, RegistryError
from regctl.images.manifests import Platform
from regctl.images.reader import ImageReader, read_repositories, read_tags
from regctl.reference import Registry
from regctl.registry.client import RegistryClient
from regctl.registry.transport import ConnectionSettings
from tests.conftest import Servers
from tests.servers.standin_registry import (
    Answer,
    Manifest,
    Request,
    StandinRegistry,
    standin_registry,
)

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


@pytest.fixture
def registry(serve: Servers) -> StandinRegistry:
    """`team/app` with tags 1.0 and 2.0, which share a layer, and an index of both as `all`."""
    state = StandinRegistry()
    digests = [
        state.put_image("team/app", tag, b"shared" * 100, tag.encode()) for tag in ("1.0", "2.0")
    ]
    put_index(state, *zip(digests, ("amd64", "arm64"), strict=True), (digests[0], "unknown"))
    return serve(standin_registry(state))


def put_index(state: StandinRegistry, *children: tuple[str, str]) -> str:
    """Put an index of digests and their architectures in as `all`."""
    manifests = [
        {
            "digest": digest,
            "size": 500,
            "platform": {
                "os": "unknown" if architecture == "unknown" else "linux",
                "architecture": architecture,
            },
        }
        for digest, architecture in children
    ]
    document = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests}
    return state.put_manifest(
        "team/app", "all", Manifest(json.dumps(document).encode(), INDEX_TYPE)
    )


def client_of(registry: StandinRegistry) -> RegistryClient:
    settings = ConnectionSettings(plain_http=True)
    return RegistryClient(Registry.parse(registry.host), settings=settings)


def test_an_image_with_one_variant(registry: StandinRegistry) -> None:
    image = ImageReader(client_of(registry)).image("team/app", "1.0")
    (variant,) = image.variants
    assert image.digest == variant.digest == registry.manifests["team/app"]["1.0"].digest
    assert image.platforms == ("linux/amd64",)
    assert image.created is not None
    assert image.created.year == 2026
    assert [layer.size for layer in variant.manifest.layers] == [600, 3]
    assert image.size == variant.size == variant.manifest.config.size + 603


def test_an_index_has_a_variant_for_each_platform(registry: StandinRegistry) -> None:
    reader = ImageReader(client_of(registry))
    image = reader.image("team/app", "all")
    assert image.platforms == ("linux/amd64", "linux/arm64"), "without the attestation"
    one, two = image.variants
    assert image.size == one.size + two.size - 600, "the shared layer counts once"
    arm = reader.image("team/app", "all", platform=Platform.parse("linux/arm64"))
    assert arm.variants == (two,)
    with pytest.raises(
        NotInRegistryError, match=r"no image for linux/s390x in .*/team/app:all"
    ) as caught:
        reader.image("team/app", "all", platform=Platform.parse("linux/s390x"))
    assert caught.value.hint == "it has linux/amd64, linux/arm64"


def test_what_several_tags_share_is_requested_once(registry: StandinRegistry) -> None:
    client = client_of(registry)
    registry.requests.clear()
    tags = [one.tag for one in read_tags(client, "team/app", ["all", "1.0", "2.0"], workers=1)]
    assert tags == ["all", "1.0", "2.0"]
    configurations = {one.path for one in registry.requests if "/blobs/" in one.path}
    assert len(configurations) == len([r for r in registry.requests if "/blobs/" in r.path])


def test_an_index_within_an_index_is_an_error(registry: StandinRegistry) -> None:
    put_index(registry, (put_index(registry), "amd64"))
    with pytest.raises(MalformedError, match="an index within an index"):
        ImageReader(client_of(registry)).image("team/app", "all")


def test_a_tag_that_cannot_be_read_does_not_hide_the_others(registry: StandinRegistry) -> None:
    registry.tags["team/app"].append("gone")
    first, gone, last = read_tags(client_of(registry), "team/app", ["1.0", "gone", "2.0"])
    assert isinstance(gone.error, NotInRegistryError)
    assert gone.image is None
    assert first.image is not None
    assert last.image is not None
    (repository,) = read_repositories(client_of(registry), ["team/app"], images=True)
    assert len(repository.images) == 3
    assert isinstance(repository.error, NotInRegistryError)


def test_a_repository_adds_its_images_up(registry: StandinRegistry) -> None:
    (repository,) = read_repositories(client_of(registry), ["team/app"], images=True)
    assert repository.tags == ("1.0", "2.0", "all")
    assert repository.platforms == ("linux/amd64", "linux/arm64")
    whole = next(image for image in repository.images if image.reference == "all")
    assert repository.size == whole.size
    assert repository.newest is not None
    assert not repository.ghost


def test_a_ghost_is_not_an_unreadable_repository(registry: StandinRegistry) -> None:
    registry.tags["ghost"] = []
    registry.script = lambda r: Answer(500) if r.path == "/v2/broken/tags/list" else None
    names = ["broken", "ghost", "missing", "team/app"]
    broken, ghost, missing, app = read_repositories(client_of(registry), names)
    assert isinstance(broken.error, RegistryError)
    assert not broken.ghost
    assert ghost.ghost
    assert missing.ghost, "deleted since it was listed"
    assert app.tags == ("1.0", "2.0", "all")


@pytest.mark.parametrize("count", [7, 450])
def test_repositories_come_in_order_before_the_error_of_their_list(
    registry: StandinRegistry, count: int
) -> None:
    wanted = [f"r{number:03}" for number in range(count)]
    registry.tags |= {name: ["1"] for name in wanted}

    def names() -> Iterator[str]:
        yield from wanted
        raise RegistryError("the list ended early")

    seen: list[str] = []
    with pytest.raises(RegistryError, match="ended early"):
        seen.extend(one.name for one in read_repositories(client_of(registry), names()))
    assert seen == wanted


def test_a_slow_repository_delays_only_those_after_it(registry: StandinRegistry) -> None:
    wanted = [f"r{number}" for number in range(8)]
    registry.tags |= {name: ["1"] for name in wanted}
    answered: list[str] = []

    def script(request: Request) -> Answer | None:
        answered.append(request.path)
        return None

    registry.script = script
    found = read_repositories(client_of(registry), wanted, workers=4)
    assert [one.name for one in found] == wanted
    assert len(answered) == len(wanted)
