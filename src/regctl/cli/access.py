"""What commands share that take access from users: what they say and ask, and the proof of it."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from regctl.cli.app import App
from regctl.cli.options import AccessFlags, ChangeFlags, NamespacedName, TargetFlags
from regctl.cli.verification import try_credential
from regctl.errors import InvalidInputError, NotPermittedError, PartlyDoneError, RegctlError
from regctl.wording import some_of

if TYPE_CHECKING:
    from regctl.authfile.htpasswd import HtpasswdFile
    from regctl.authsecret.push import Push
    from regctl.outcome import DryRun, Outcome
    from regctl.workflows.holders import Holder


# Uploads


def note_removals(app: App, plan: "Push") -> None:
    """Name every user who loses access by an upload."""
    for one in plan.changes:
        if one.action == "update" and one.removed:
            app.output.note(f"{one.subject}: {', '.join(one.removed)} cannot log in any more")


def removals(plan: "Push", expected: Collection[str]) -> list[str]:
    """Return who loses access to each Secret, apart from the *expected* users."""
    return [
        f"{some_of(lost)} from {change.subject}"
        for change in plan.changes
        if change.action == "update"
        and (lost := [name for name in change.removed if name not in expected])
    ]


def removal_question(lost: Sequence[str]) -> str | None:
    """Return the question before users lose access, or None if none does."""
    return f"remove {' and '.join(lost)}?" if lost else None


def report_kept(plan: "Push") -> None:
    """Raise PartlyDoneError if a Secret keeps users that the auth file does not know."""
    kept = [change for change in plan.changes if change.kept]
    if kept:
        names = " and ".join(f"{', '.join(one.kept)} in {one.subject}" for one in kept)
        raise PartlyDoneError(
            f"kept {names}: not in the auth file, and added to the Secret by regctl",
            hint=f"`regctl auth pull --auth-secret {kept[0].namespace}/{kept[0].name}` adds them "
            "to the file; `regctl auth push --exclusive` removes them",
        )


# Users of the auth file


@dataclass(frozen=True)
class Removal:
    """
    A change that takes access from the users *names* of an auth file, whose content is *before*.

    *apply* makes the change in memory, *write* in the file. *lost* is what it asks about, such as
    "alice from auth".
    """

    names: tuple[str, ...]
    before: "HtpasswdFile" = field(repr=False)
    apply: "Callable[[HtpasswdFile], object]"
    write: "Callable[[DryRun | None], Sequence[Outcome]]"
    lost: tuple[str, ...] = ()


def remove_access(
    app: App, removal: Removal, change: ChangeFlags, access: AccessFlags, targets: TargetFlags
) -> None:
    """
    Change the auth file, and if *access* or *targets* name a place in the cluster, what is there.

    With an auth Secret, its upload is planned first: if it is refused, nothing is changed. Names
    the pull secrets that still have the users. Raises PartlyDoneError if some could not be read, or
    if the registry does not reject the users in time.
    """
    in_cluster = access.auth_secret is not None or targets != TargetFlags()
    if access.wait is not None and not in_cluster:
        raise InvalidInputError("--wait needs pull secrets", hint="pass --auth-secret or -A")
    holders, unseen = _find_holders(app, removal, targets) if in_cluster else ([], [])
    plan, lost = None, list(removal.lost)
    if access.auth_secret is not None:
        plan = _plan_upload(app, removal, access.auth_secret, access.reader, adopt=change.adopt)
        # A removal that asks, asks about the Secret too.
        lost += removals(plan, () if removal.lost else plan.desired.known)

    def run(dry_run: "DryRun | None") -> "Iterator[Sequence[Outcome]]":
        yield removal.write(dry_run)
        for outcome in plan.run(dry_run) if plan is not None else ():
            yield [outcome]

    app.carry_out(run, change, question=removal_question(lost))
    for holder in holders:
        app.output.note(f"{holder.subject} still has {holder.user}")
    for error in unseen:
        app.output.error(error)
    if access.wait is not None and change.dry_run is None:
        _prove(app, removal.names, holders, time.monotonic() + access.wait)
    if plan is not None:
        report_kept(plan)
    if unseen:
        raise PartlyDoneError("not all pull secrets could be read: others may have the users")


def _find_holders(
    app: App, removal: Removal, targets: TargetFlags
) -> "tuple[Sequence[Holder], Sequence[RegctlError]]":
    """Return the pull secrets that have the users, everywhere unless *targets* select some."""
    from regctl.workflows.holders import proven_holders, survey

    where = app.targets(targets)
    try:
        beyond = not (where.named or where.selector)
        seen = survey(app.cluster, where.or_everywhere(), beyond=beyond)
    except NotPermittedError as error:
        return [], [error]
    unseen = [seen.unseen] if seen.unseen is not None else []
    return proven_holders(removal.names, seen, removal.before), [*unseen, *seen.unreadable]


def _plan_upload(
    app: App, removal: Removal, secret: NamespacedName, reader: str | None, *, adopt: bool
) -> "Push":
    """Return the upload of the changed file. Raises the error with which it would be refused."""
    from regctl.authfile.htpasswd import HtpasswdFile
    from regctl.authfile.readers import get_reader
    from regctl.authsecret.push import prepare
    from regctl.authsecret.secret import AuthSecret, fetch

    after = HtpasswdFile(removal.before.content)
    removal.apply(after)
    desired = AuthSecret.of(after.as_of(app.today()), get_reader(reader))
    desired = replace(desired, known=desired.known | set(removal.names))
    plan = prepare(app.cluster, desired, [secret], adopt=adopt)
    for change in plan.changes:
        if change.error is not None:
            raise change.error
        if change.action == "create":
            fetch(app.cluster, *secret)
    plan.check_empty_passwords()
    return plan


def _prove(app: App, names: Sequence[str], holders: "Sequence[Holder]", deadline: float) -> None:
    """
    Try the passwords of the pull secrets until a registry rejects each user; name it.

    *deadline* is a time of `time.monotonic`. Raises PartlyDoneError if it passes.
    """
    from regctl.retry import Backoff, attempts
    from regctl.workflows.access import rejected_by, wait_until

    for name in names:
        logins = {
            (holder.registry, holder.credential): None
            for holder in holders
            if holder.registry is not None and holder.user == name
        }
        if not logins:
            app.output.note(
                f"it cannot be proven that the registry rejects {name}: no pull secret has its "
                "password"
            )
            continue
        tries = attempts(Backoff(tries=None, cap=2.0), time.sleep, deadline=deadline)
        answers = wait_until(logins, partial(try_credential, app), tries, accepted=False)
        if not (registries := rejected_by(answers)):
            (registry, _), failure = min(answers.items(), key=lambda one: one[1] is not None)
            raise PartlyDoneError(
                f"{registry} still accepts the password of {name}"
                if failure is None
                else f"it is not known whether {registry} rejects {name}: {failure.message}",
                hint="check that the registry reads this auth file or auth Secret; it may take a "
                "minute",
            )
        for registry in registries:
            app.output.note(f"{registry} rejects {name}")
