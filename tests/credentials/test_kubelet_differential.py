"""
What regctl chooses beside the kubelet's own code: 20,000 plausible and 20,000 hostile cases.

The program `keyring` is pkg/credentialprovider of Kubernetes behind a pipe.
"""

import base64
import json
import random
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import pytest

from regctl.credentials.dockerconfigjson import decode_secret
from regctl.credentials.kubelet import kubelet_key, match_image
from regctl.errors import MalformedError

CASES = 20_000
KEYS = {
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
    "kubernetes.io/dockercfg": ".dockercfg",
}

# Secret, user and password in the order of the trials; None: the Secrets cannot be decoded.
Choice = list[tuple[str, bytes, bytes]] | None


@dataclass(frozen=True)
class Case:
    """An image and the pull secrets of its Pod: name, type and content."""

    image: str
    secrets: Sequence[tuple[str, str, bytes]]


# Plausible: what people and programs write

HOSTS = ("registry.foo.com", "registry.foo.com:5000", "foo.com", "localhost:5000", "[::1]:5000")
IMAGES = (
    *(f"{host}/{path}" for host in HOSTS for path in ("team/app", "team/app-x", "app")),
    "docker.io/library/nginx",
    "docker.io/team/app",
    "Registry.foo.com/team/app",
    "registry.foo.com:443/team/app",
)
NAMES = (
    *HOSTS,
    *(
        "*.foo.com",
        "*.foo.com:5000",
        "registry.*.com",
        "reg*.foo.com",
        "*.*.*",
        "r*g*s*t*r*.foo.com",
        "*reg**istry.*o*.c*",
        "registry*registry.foo.com",
        "*",
        "Registry.foo.com",
    ),
    *("docker.io", "index.docker.io", "registry-1.docker.io", "registry.foo.com:443"),
)
SCHEMES = ("", "", "https://", "http://")
PATHS = ("", "", "/", "/v1/", "/v2/", "/v2", "/v1", "/team", "/team/", "/team/app", "/v2/team")


def plausible_key(chance: random.Random) -> str:
    return "".join(map(chance.choice, (SCHEMES, NAMES, PATHS)))


def plausible_entry(chance: random.Random) -> dict[str, str]:
    user, password = f"user{chance.randrange(4)}", f"pass:wörd{chance.randrange(9)}"
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    forms: list[dict[str, str]] = [
        {"username": user, "password": password, "auth": auth},
        {"username": user, "password": password},
        {"auth": auth},
        {"auth": auth.rstrip("="), "email": "a@b.c"},
        {"username": "other", "password": "other", "auth": auth},
        {"username": user},
        {"identitytoken": password},
        {},
    ]
    return chance.choice(forms[:5] * 3 + forms)


def plausible_secret(chance: random.Random, number: int) -> tuple[str, str, bytes]:
    entries = {
        plausible_key(chance): plausible_entry(chance) for _ in range(chance.randrange(4) + 1)
    }
    kind = chance.choice([*KEYS, "kubernetes.io/dockerconfigjson"])
    document = {"auths": entries} if kind.endswith("json") else entries
    return (
        f"secret-{number}",
        kind,
        json.dumps(document, ensure_ascii=chance.random() < 0.5).encode(),
    )


def plausible(chance: random.Random) -> Case:
    count = chance.choice((1, 1, 2, 3))
    secrets = [plausible_secret(chance, number) for number in range(count)]
    return Case(chance.choice(IMAGES), secrets)


# Hostile: what somebody who may write Secrets can write

PIECES = (
    *("registry", "foo", ".", "com", ":", "5000", "/", "team", "*", "?", "[", "]", "^", "-", "\\"),
    *(
        "@",
        "user:pw@",
        "#",
        "%",
        "%2F",
        "%25",
        "%C3%A9",
        "%41",
        "%zz",
        " ",
        "\t",
        "\n",
        "\x7f",
        "\x00",
    ),
    *(
        "é",
        "\ufffd",
        "\ud800",
        "://",
        "https://",
        "//",
        "/v1/",
        "<",
        '"',
        "|",
        "[::1]",
        "::ffff:1.2.3.4",
    ),
    *("İ", "+", "a/..", "&", "~", "1:2:3:4:5:6:7::", "[fe80::1%25en0]", "01"),
)
FIELDS = {
    name: (
        name,
        name,
        name.upper(),
        name.title(),
        name.replace("s", "\u017f"),
        f"{name}s",
        f" {name}",
    )
    for name in ("auths", "username", "password", "email", "auth")
}
HEADERS = ("HttpHeaders", "httpheaders", "HTTPHEADER\u017f", "Headers")
VALUES = (
    "null",
    "5",
    "-0.5e3",
    "[]",
    "{}",
    '""',
    "true",
    '"text"',
    "NaN",
    "-Infinity",
    "01",
    '{"a": 1}',
    '{"a": null}',
    '{"a": "b", "a": 7}',
    "[[]]",
    "1e999",
)
TEXTS = (
    "\\ud83d\\ude00",
    "\\ud83d",
    "\\ude00x",
    "\\ud83d\\ud83d",
    "\\u0000",
    "\\/",
    "\\\\ud83d",
    "a",
    "ß",
    "\\u212a",
    "\\x",
    "\\u12",
    "\n",
)
BYTES = (
    b"\xff",
    b"\xe2\x82",
    b"\xed\xa0\x80",
    b"\xc3",
    b"\xf4\x90\x80\x80",
    b"\xef\xbb\xbf",
    b"\x00",
    b",",
    b"}",
    b'"',
    b" ",
)


def hostile_key(chance: random.Random) -> str:
    key = chance.choice(("registry.foo.com", "*.foo.com", "http://registry.foo.com/v2/team"))
    form = chance.randrange(4)
    if form == 0:
        key = plausible_key(chance)
    elif form == 1:
        key = "".join(chance.choices(PIECES, k=chance.randrange(6)))
    elif form == 2:
        place = chance.choice((0, len(key), chance.randrange(len(key))))
        key = key[:place] + chance.choice(PIECES) + key[place:]
    return key


def text(chance: random.Random) -> str:
    if chance.random() < 0.8:
        return f'"user{chance.randrange(4)}"'
    return '"' + "".join(chance.choices(TEXTS, k=chance.randrange(3))) + '"'


def hostile_auth(chance: random.Random) -> str:
    raw = bytes(chance.choices(b"ab\xff\xc3\x00", k=chance.randrange(8))) + b":secret"
    auth = base64.b64encode(raw[: chance.randrange(7, 16)]).decode()
    change = chance.randrange(12)
    if change < 4:
        place = chance.randrange(len(auth) + 1)
        auth = (
            auth[:place]
            + chance.choice(("=", "\n", "\r\n", " ", "A", "-", "==", "é"))
            + auth[place:]
        )
    elif change < 6:
        auth = auth.rstrip("=") + "=" * chance.randrange(4)
    return json.dumps(auth)


def joined(chance: random.Random, members: list[str]) -> str:
    chance.shuffle(members)
    return "{" + ", ".join(members) + "}"


def hostile_entry(chance: random.Random) -> str:
    if chance.random() < 0.01:
        return chance.choice(VALUES)
    members = []
    for _ in range(chance.randrange(6)):
        name = chance.choice(("username", "username", "password", "password", "email", "auth"))
        value = hostile_auth(chance) if name == "auth" else text(chance)
        value = chance.choice(VALUES) if chance.random() < 0.01 else value
        members.append(f"{json.dumps(chance.choice(FIELDS[name]))}: {value}")
    return joined(chance, members)


def hostile_entries(chance: random.Random) -> str:
    keys = [hostile_key(chance) for _ in range(3)]
    keys += [chance.choice(keys)]
    members = [f"{json.dumps(key)}: {hostile_entry(chance)}" for key in keys[chance.randrange(4) :]]
    return joined(chance, members)


def hostile_secret(chance: random.Random, number: int) -> tuple[str, str, bytes]:
    kind = chance.choice([*KEYS, *KEYS, "Opaque"])
    document = hostile_entries(chance)
    if kind.endswith("json"):
        names = [chance.choice(FIELDS["auths"]) for _ in range(chance.choice((1, 1, 1, 2)))]
        members = [f"{json.dumps(name)}: {hostile_entries(chance)}" for name in names]
        if chance.random() < 0.2:
            members.append(f'"{chance.choice(HEADERS)}": {chance.choice(VALUES)}')
        if chance.random() < 0.05:
            members.append(f'"auths": {chance.choice(VALUES)}')
        document = joined(chance, members)
    content = document.encode(errors="surrogatepass")
    if chance.random() < 0.15:
        place = chance.randrange(len(content) + 1)
        content = content[:place] + chance.choice(BYTES) + content[place:]
    if chance.random() < 0.02:
        content = chance.choice(("", "null", " {}", "{} x", "[]", '"x"')).encode()
    return f"secret-{number}", kind, content


def hostile(chance: random.Random) -> Case:
    count = chance.choice((1, 1, 1, 2))
    secrets = [hostile_secret(chance, number) for number in range(count)]
    return Case(chance.choice(IMAGES[:1] * 60 + IMAGES), secrets)


# The two answers


def kubelet_choices(keyring: str, cases: Sequence[Case]) -> list[Choice]:
    """Return what the kubelet's code, in the program *keyring*, chooses."""
    questions = [
        {
            "image": case.image,
            "secrets": [
                {
                    "metadata": {"name": name},
                    "type": kind,
                    "data": {KEYS.get(kind, ".dockercfg"): base64.b64encode(content).decode()},
                }
                for name, kind, content in case.secrets
            ],
        }
        for case in cases
    ]
    asked = "\n".join(map(json.dumps, questions))
    process = subprocess.run([keyring], input=asked.encode(), capture_output=True, check=True)
    answers = map(json.loads, process.stdout.splitlines())
    return [None if answer["error"] else list(map(tried, answer["tried"])) for answer in answers]


def tried(one: Mapping[str, str]) -> tuple[str, bytes, bytes]:
    user, password = (base64.b64decode(one[name]) for name in ("username", "password"))
    return one["secret"], user, password


def regctl_choice(case: Case) -> tuple[Choice, list[int]]:
    """
    Return what regctl chooses, and the length of each group whose order is open.

    The kubelet reads the entries of a Secret in any order, so those with the same key are a group.
    """
    try:
        secrets = {
            name: decode_secret(kind, {KEYS.get(kind, ".dockercfg"): content}, source=name) or {}
            for name, kind, content in case.secrets
        }
    except MalformedError:
        return None, []
    found = match_image(secrets, case.image)
    groups = groupby(found, lambda match: (match.secret, kubelet_key(match.key)))
    return [
        (match.secret, in_bytes(match.credential.username), in_bytes(match.credential.password))
        for match in found
    ], [len(list(group)) for _, group in groups]


def in_bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def in_groups(choice: Choice, lengths: Sequence[int]) -> Choice:
    if choice is None:
        return None
    rest, ordered = list(choice), []
    for length in lengths:
        ordered += sorted(rest[:length])
        rest = rest[length:]
    return ordered + rest


@pytest.mark.slow
@pytest.mark.parametrize("make", [plausible, hostile])
def test_the_same_credential_is_chosen_as_by_the_kubelet(
    program: Callable[[str], str], make: Callable[[random.Random], Case]
) -> None:
    chance = random.Random(make.__name__)  # noqa: S311 - the same cases in every run
    cases = [make(chance) for _ in range(CASES)]
    matched = undecodable = 0
    for case, theirs in zip(cases, kubelet_choices(program("keyring"), cases), strict=True):
        ours, groups = regctl_choice(case)
        assert in_groups(ours, groups) == in_groups(theirs, groups), case
        matched += bool(theirs)
        undecodable += theirs is None
    assert matched > CASES // 10, "the cases are about something"
    assert make is plausible or CASES // 4 < undecodable < CASES // 4 * 3
