"""The file of `secret sync`: its content, and the line of each mistake."""

from pathlib import Path

import pytest

from regctl.cluster.namespaces import Targets
from regctl.cluster.serviceaccounts import Accounts
from regctl.errors import MalformedError
from regctl.pullsecrets import sync as syncfile
from regctl.pullsecrets.sync import DeclaredRegistry, DeclaredSecret

GOOD = """\
name: registries
secrets:
  - registries:
      - server: https://registry.foo.com/v2/
        email: ci@foo.com
        credential: {env: {username: CI_USER, password: CI_PASSWORD}}
      - server: docker.io
    targets:
      selector: pulls=yes
      exclude: ["*-test"]
    attach: [default, all]
  - name: regcred
    registries:
      - server: "*.foo.com"
        credential: {secret: infra/regcred}
    targets: {namespaces: [team-a], all: true}
    merge: true
"""


def test_a_file_is_read_completely() -> None:
    declared = syncfile.parse(GOOD, source="sync.yaml")
    assert declared.name == "registries"
    env = {"env": {"username": "CI_USER", "password": "CI_PASSWORD"}}
    docker = {"docker": True}
    assert declared.secrets == (
        DeclaredSecret(
            "registry.foo.com",
            (
                DeclaredRegistry("registry.foo.com", env, "ci@foo.com"),
                DeclaredRegistry("https://index.docker.io/v1/", docker),
            ),
            Targets(selector="pulls=yes", exclude=("*-test",)),
            Accounts(("default",), every=True),
        ),
        DeclaredSecret(
            "regcred",
            (DeclaredRegistry("*.foo.com", {"secret": "infra/regcred"}),),
            Targets(("team-a",), everywhere=True),
            Accounts(),
            merge=True,
        ),
    )


@pytest.mark.parametrize(
    ("old", "new", "line", "text"),
    [
        ("name: registries\n", "", 1, "name is missing"),
        ("name: registries", "name: [a]", 1, "name: must be text"),
        ("name: registries", "name: -a-", 1, "name: '-a-' does not match"),
        ("server: docker.io", "sever: docker.io", 7, "sever: is not a known key; known are server"),
        ("server: docker.io", "password: hunter2", 7, "password: is not a known key"),
        ("server: docker.io", "server: 5", 7, "must be text"),
        ("server: docker.io", "server: a b", 3, "not a registry"),
        ("exclude: [", "excludes: [", 10, "known are namespaces, all, selector, exclude"),
        ("[default,", "[[default],", 11, "attach.0: must be text"),
        ("[default,", "[used,", 3, "cannot attach to 'used'"),
        ("[default,", "['*',", 3, "not a name for a service account"),
        ("name: regcred", "name: Reg_Cred", 12, "name: 'Reg_Cred'"),
        ("name: regcred", "name: registry.foo.com", 12, "another Secret has the name"),
        ("{secret: infra/regcred}", "{}", 15, "must have one of docker, env, file, secret"),
        ("{secret: infra/regcred}", "{secret: a/b, docker: true}", 15, "must have only one of"),
        ("{secret: infra/regcred}", "{secret: regcred}", 15, "does not match"),
        ("[team-a], all: true", "[Team_A]", 12, "not a namespace"),
        ("{namespaces: [team-a], all: true}", "{}", 16, "must have one of"),
        ("merge: true", "merge: maybe", 17, "must be true or false"),
        ("merge: true", "merge: true\n    merge: false", 18, "key merge is there twice"),
        ("merge: true", "merge: [", 18, "expected"),
    ],
)
def test_a_mistake_is_reported_with_its_line(old: str, new: str, line: int, text: str) -> None:
    assert old in GOOD
    with pytest.raises(MalformedError) as caught:
        syncfile.parse(GOOD.replace(old, new, 1), source="sync.yaml")
    assert f"sync.yaml, line {line}: " in caught.value.message
    assert text in caught.value.message
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize("text", ["", "[]", "text", "name: x\nsecrets: []\n"])
def test_another_document_is_an_error(text: str) -> None:
    with pytest.raises(MalformedError):
        syncfile.parse(text, source="sync.yaml")


def test_the_example_in_the_docs_is_a_valid_file() -> None:
    manual = Path(__file__).parents[2] / "docs" / "secret-sync.md"
    example = manual.read_text().split("```yaml\n")[1].split("```")[0]
    declared = syncfile.parse(example, source="docs/secret-sync.md")
    assert [secret.name for secret in declared.secrets] == ["regcred", "registry.baz.com"]
