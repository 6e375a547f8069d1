"""Whether a registry accepts passwords, or rejects them, after a change that it reads later."""

from collections.abc import Collection, Iterable, Mapping

from regctl import parallel
from regctl.errors import NotAuthenticatedError, RegctlError
from regctl.pullsecrets.trial import Login, Trial
from regctl.reference import Registry
from regctl.retry import Attempt

Answers = Mapping[Login, RegctlError | None]


def wait_until(
    logins: Collection[Login], trial: Trial, tries: Iterable[Attempt], *, accepted: bool
) -> Answers:
    """
    Try *logins* until one is *accepted*, or until they are `rejected_by` their registries.

    Returns the last answer to each, which is None if it was accepted.
    """
    answers: dict[Login, RegctlError | None] = {}
    for _ in tries:
        pending = [login for login in logins if accepted or not _rejects(answers.get(login))]
        answers |= {
            login: answer
            for login, answer in parallel.run(lambda login: trial(*login), pending)
            if not isinstance(answer, parallel.Interrupted)
        }
        if None in answers.values() if accepted else rejected_by(answers):
            break
    return answers


def rejected_by(answers: Answers) -> list[Registry]:
    """
    Return the registries that reject a login, or none if one accepts a login.

    A registry that does not answer is no proof, and no obstacle: its pull secret may be old.
    """
    if None in answers.values():
        return []
    return [login[0] for login, answer in answers.items() if _rejects(answer)]


def _rejects(answer: RegctlError | None) -> bool:
    return isinstance(answer, NotAuthenticatedError)
