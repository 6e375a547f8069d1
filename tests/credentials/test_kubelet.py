"""How the kubelet chooses a credential, as a table of its rules."""

import pytest

from regctl.credentials.credential import Credential
from regctl.credentials.kubelet import key_matches, kubelet_key, match_image

Secret = tuple[str, dict[str, Credential]]


def secret(name: str, *keys: str) -> Secret:
    return name, {key: Credential("u", name) for key in keys}


def tried(image: str, *secrets: Secret) -> list[tuple[str, str]]:
    return [(match.secret, match.key) for match in match_image(dict(secrets), image)]


@pytest.mark.parametrize(
    ("key", "read_as"),
    [
        ("r.io", "r.io"),
        ("r.io/", "r.io"),
        ("http://r.io", "r.io"),
        ("https://r.io:5000", "r.io:5000"),
        ("https://r.io/v1/", "r.io"),
        ("https://r.io/v2/", "r.io"),
        ("r.io/v1/", "r.io"),
        ("https://r.io/v2", "r.io/v2"),
        ("https://r.io/v2/team", "r.io/team"),
        ("https://r.io/v3/", "r.io/v3/"),
        ("r.io/team", "r.io/team"),
        ("r.io/team/", "r.io/team/"),
        ("*.r.io", "*.r.io"),
        ("https://user@r.io", "r.io"),
        ("r.io?x=y", "r.io"),
        ("https://index.docker.io/v1/", "index.docker.io"),
        ("r.io:port", None),
        ("r.io\n", None),
        ("\tr.io", None),
        ("r[0-9].io", None),
        ("[r].io", None),
        ("r.io:1:2", None),
        ("r?.io", "r"),
        ("[::1]:5000", "[::1]:5000"),
        ("r io", None),
    ],
)
def test_scheme_and_api_path_are_dropped_from_a_key(key: str, read_as: str | None) -> None:
    assert kubelet_key(key) == read_as


# The cases of the kubelet's own tests (TestURLsMatch and TestDockerKeyringForGlob).
@pytest.mark.parametrize(
    ("key", "image", "matches"),
    [
        # Exact hosts
        ("r.io", "r.io/app", True),
        ("r.io", "r.io", True),
        ("r.io", "s.io/app", False),
        ("r.io", "x.r.io/app", False),
        ("x.r.io", "r.io/app", False),
        ("r.io", "R.io/app", False),
        # Globs, one for each label
        ("*.r.io", "a.r.io/app", True),
        ("*.r.io", "r.io/app", False),
        ("*.r.io", "b.a.r.io/app", False),
        ("*.*.r.io", "b.a.r.io/app", True),
        ("r.*", "r.io/app", True),
        ("*", "localhost/app", True),
        ("*", "r.io/app", False),
        ("pre*.r.io", "prefix.r.io/app", True),
        ("*fix.r.io", "prefix.r.io/app", True),
        ("p*x.r.io", "prefix.r.io/app", True),
        ("p*x.r.io", "prefixed.r.io/app", False),
        ("r?.io", "r1.io/app", False),
        ("r?.io", "r.io/app", False),
        ("r[0-9].io", "r1.io/app", False),
        ("r[0-9].io", "rx.io/app", False),
        ("r[^0-9].io", "rx.io/app", False),
        ("r[^0-9].io", "r1.io/app", False),
        ("r[9-0].io", "r5.io/app", False),
        ("r[.io", "r[.io/app", False),
        ("r\\*.io", "rx.io/app", False),
        # Ports
        ("r.io:5000", "r.io:5000/app", True),
        ("r.io:5000", "r.io/app", False),
        ("r.io", "r.io:5000/app", False),
        ("r.io:443", "r.io/app", False),
        ("*.r.io:5000", "a.r.io:5000/app", True),
        ("*.r.io:5000", "a.r.io:5001/app", False),
        ("r.io:*", "r.io:5000/app", False),
        ("[::1]:5000", "[::1]:5000/app", True),
        ("[::1]:5000", "[::1]:5001/app", False),
        # Paths: a plain prefix without globs
        ("r.io/team", "r.io/team/app", True),
        ("r.io/team", "r.io/team", True),
        ("r.io/team", "r.io/other/app", False),
        ("r.io/team", "r.io/teammates/app", True),
        ("r.io/team/", "r.io/teammates/app", False),
        ("r.io/team/", "r.io/team/app", True),
        ("r.io/team/app", "r.io/team", False),
        ("r.io/*", "r.io/team/app", False),
        ("*.r.io/team", "a.r.io/team/app", True),
        ("*.r.io/team", "a.r.io/other", False),
        ("r.io/v2", "r.io/app", False),
    ],
)
def test_a_key_matches_an_image(key: str, image: str, matches: bool) -> None:
    assert key_matches(key, image) is matches


def test_all_matches_are_tried_longer_paths_first() -> None:
    found = tried("r.io/team/app", secret("a", "r.io", "r.io/team/app"), secret("b", "r.io/team"))
    assert found == [("a", "r.io/team/app"), ("b", "r.io/team"), ("a", "r.io")]


def test_two_secrets_for_one_registry_are_both_tried_in_the_pods_order() -> None:
    """A rotation with an overlap depends on this."""
    assert tried("r.io/app", secret("new", "r.io"), secret("old", "https://r.io/v1/")) == [
        ("new", "r.io"),
        ("old", "https://r.io/v1/"),
    ]


@pytest.mark.parametrize(
    "image", ["docker.io/library/nginx", "index.docker.io/x/y", "nginx", "library/nginx"]
)
def test_docker_hubs_key_matches_its_images(image: str) -> None:
    hub = secret("hub", "https://index.docker.io/v1/")
    assert tried(image, hub) == [("hub", "https://index.docker.io/v1/")]


@pytest.mark.parametrize("image", ["r.io/app", "localhost:5000/app"])
def test_docker_hubs_key_matches_no_other_image(image: str) -> None:
    assert tried(image, secret("hub", "https://index.docker.io/v1/")) == []


def test_the_name_docker_io_is_a_key_like_any_other() -> None:
    assert tried("docker.io/library/nginx", secret("a", "docker.io")) == [("a", "docker.io")]
    assert tried("docker.io/library/nginx", secret("a", "registry-1.docker.io")) == []


def test_docker_hubs_key_is_not_used_if_another_key_matches() -> None:
    both = secret("a", "docker.io", "https://index.docker.io/v1/")
    assert tried("docker.io/library/nginx", both) == [("a", "docker.io")]


def test_a_key_that_is_not_an_address_is_ignored() -> None:
    assert tried("r.io/app", secret("a", "r.io:port", "r.io")) == [("a", "r.io")]


def test_a_key_with_many_stars_is_matched_without_a_way_back() -> None:
    """With a way back this takes longer than anybody waits."""
    label = "a" * 63
    assert not key_matches("*a" * 30 + "b.io", f"{label}.io/app")
    assert key_matches("*a" * 30 + "*.io", f"{label}.io/app")
    assert not key_matches("*".join("a" * 65) + ".io", f"{label}.io/app")


@pytest.mark.parametrize(
    ("glob", "matches"),
    [
        ("a*a", True),
        ("aa*aa", True),
        ("aaa*a", True),
        ("aaa*aa", False),
        ("**", True),
        ("*b*", False),
    ],
)
def test_the_texts_around_a_star_do_not_overlap(glob: str, matches: bool) -> None:
    assert key_matches(f"{glob}.io", "aaaa.io/app") is matches
