"""The trial of credentials: when it is repeated, and when it ends."""

import re
from dataclasses import dataclass, field, replace

import pytest

from regctl.credentials.credential import Credential
from regctl.errors import (
    CertificateError,
    CredentialRejectedError,
    NotAuthenticatedError,
    NotPermittedError,
    RegctlError,
)
from regctl.pullsecrets.trial import Verifier
from regctl.reference import Registry
from tests.pullsecrets.secrets import ALICE

REJECTED = NotAuthenticatedError("no")


@dataclass
class Scene:
    """A registry that gives *answers* in turn, the last one for ever, and a clock."""

    answers: list[RegctlError | None]
    now: float = 0.0
    tried: list[tuple[str, str]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def trial(self, registry: Registry, credential: Credential) -> RegctlError | None:
        self.tried.append((str(registry), credential.password))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def verifier(self, wait: float = 120) -> Verifier:
        say = self.words.append
        return Verifier(self.trial, wait, say, say, self.sleep, lambda: self.now)


def test_a_rejected_credential_is_tried_until_it_is_accepted() -> None:
    scene = Scene([REJECTED, REJECTED, None])
    scene.verifier().verify("pull", {"r.io": ALICE})
    assert len(scene.tried) == 3
    assert scene.words[0] == "r.io rejects the password of alice; trying again for 120 s"


@pytest.mark.parametrize(
    ("error", "words"),
    [(REJECTED, "rejects the password of"), (NotPermittedError("no"), "denies access to")],
)
def test_a_rejection_is_final_when_the_time_is_over(error: RegctlError, words: str) -> None:
    scene = Scene([error])
    message = re.escape(f"secret pull was not written: r.io {words} alice")
    with pytest.raises(CredentialRejectedError, match=message):
        scene.verifier().verify("pull", {"r.io": ALICE})
    assert scene.now <= 120
    assert len(scene.tried) > 4


def test_without_time_there_is_one_trial_of_each_credential() -> None:
    scene = Scene([None])
    others = {"r.io": ALICE, "r.io/team": replace(ALICE, email="a@b.c"), "s.io": ALICE}
    verifier = scene.verifier(wait=0)
    verifier.verify("pull", others)
    verifier.verify("other", others)
    assert scene.tried == [("r.io", "secret"), ("s.io", "secret")]


def test_the_time_is_for_the_whole_run() -> None:
    scene = Scene([REJECTED])
    verifier = scene.verifier()
    for host in ("r.io", "s.io"):
        with pytest.raises(CredentialRejectedError):
            verifier.verify("pull", {host: ALICE})
    assert scene.now <= 120
    assert "s.io" in {host for host, _ in scene.tried}


def test_a_registry_that_decides_nothing_is_asked_once_and_reported_once() -> None:
    scene = Scene([CertificateError("not trusted")])
    verifier = scene.verifier()
    for name in ("pull", "other"):
        verifier.verify(name, {"r.io": ALICE})
    assert len(scene.tried) == 1
    assert scene.words == ["the password of alice was not verified: not trusted"]
