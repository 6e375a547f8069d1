"""`regctl image prune`: old images out of a registry, by rules."""

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from regctl.cli.app import App, old_registry_as, pass_app
from regctl.cli.completers import repositories
from regctl.cli.images import moment, short, size_cell
from regctl.cli.listings import Column, error_record
from regctl.cli.old.credential_options import CredentialOptions, credential_options
from regctl.cli.old.option_groups import (
    TransportOptions,
    output_option,
    transport_options,
    workers_option,
    yes_option,
)
from regctl.cli.old.params import Command
from regctl.errors import InvalidInputError, NotInRegistryError, PartlyDoneError, RegctlError

if TYPE_CHECKING:
    from datetime import timedelta

    from regctl.images.reader import Image
    from regctl.images.retention import TagDecision
    from regctl.registry.client import RegistryClient


class _Row(NamedTuple):
    repository: str
    verdict: "TagDecision"
    result: str
    error: RegctlError | None = None


@click.command(
    cls=Command,
    examples=[
        "regctl image prune registry.foo.com/team/app --keep-last 5",
        "regctl image prune registry.foo.com/team/app --older-than 30d --keep 'v*' --yes",
        "regctl image prune registry.foo.com/a registry.foo.com/b --keep-last 9 -o json",
    ],
)
@click.argument("images", metavar="REPOSITORY...", nargs=-1, shell_complete=repositories)
@click.option(
    "--keep-last", type=click.IntRange(min=1), metavar="N", help="Keep the last N images."
)
@click.option("--keep", multiple=True, metavar="GLOB", help="Keep these tags; repeatable.")
@click.option("--older-than", metavar="AGE", help="Only what is older: 30d, 12w, 48h.")
@yes_option
@credential_options
@transport_options
@workers_option
@output_option("table", "wide", "json", "yaml", "name")
@pass_app
def prune(
    app: App,
    *,
    images: tuple[str, ...],
    keep_last: int | None,
    keep: tuple[str, ...],
    older_than: str | None,
    yes: bool,
    credential: CredentialOptions,
    transport: TransportOptions,
    workers: int,
) -> None:
    """
    Delete old images; without --yes, show which.

    An image goes when no rule keeps it. What a kept tag uses is never deleted, and neither is what
    can't be read or does not say when it was made. The registry's own garbage collection frees the
    disk afterwards.
    """
    from datetime import datetime, timezone

    from regctl.images.retention import RetentionRules, decide
    from regctl.reference import ImageReference

    if not images:
        raise InvalidInputError("which repository?", hint="name one or several")
    if keep_last is None and older_than is None:
        raise InvalidInputError(
            "no rule says what may go", hint="pass --keep-last, --older-than, or both"
        )
    rules = RetentionRules(keep_last, keep, _age(older_than) if older_than is not None else None)
    asked = [ImageReference.parse(image) for image in images]
    for image, one in zip(images, asked, strict=True):
        if one.tag or one.digest:
            raise InvalidInputError(
                f"cannot prune {image}: it names one image", hint="`regctl image delete` does that"
            )
    rows: list[_Row] = []
    for one in asked:
        client = old_registry_as(
            app, one.registry, credential.resolve(app, one.registry), transport
        )
        name = f"{one.registry}/{one.repository}"
        judged = decide(
            _found(app, client, one.repository, workers), rules, now=datetime.now(timezone.utc)
        )
        rows += _carried_out(client, one.repository, name, judged, workers, really=yes)
    _report(app, rows)
    _settle(app, rows, really=yes)


def _age(text: str) -> "timedelta":
    from datetime import timedelta

    match = re.fullmatch(r"(\d{1,6})([hdw])", text.strip())
    if match is None:
        raise InvalidInputError(f"not an age: {text!r}", hint="an age is like 48h, 30d or 12w")
    count = int(match[1])
    return {"h": timedelta(hours=count), "d": timedelta(days=count), "w": timedelta(weeks=count)}[
        match[2]
    ]


def _found(
    app: App, client: "RegistryClient", repository: str, workers: int
) -> "dict[str, Image | None]":
    """Read the image of each tag; None for one that can't be read."""
    from regctl.images.reader import read_tags

    tags = client.tags(repository)
    found: dict[str, Image | None] = {}
    with app.output.progress(repository, len(tags)) as advance:
        for one in read_tags(client, repository, tags, workers=workers):
            if one.error is not None and not isinstance(one.error, NotInRegistryError):
                app.output.warning(one.error.message)
            found[one.tag] = one.image
            advance()
    return found


def _carried_out(
    client: "RegistryClient",
    repository: str,
    name: str,
    judged: "tuple[TagDecision, ...]",
    workers: int,
    *,
    really: bool,
) -> list[_Row]:
    from regctl.images.retention import digests_to_delete
    from regctl.images.tags import tag_digests

    results: dict[str, tuple[str, RegctlError | None]] = {}
    if really and any(verdict.keep_reason is None for verdict in judged):
        # Once more, and all of them: somebody may have pushed or moved a tag since.
        current = tag_digests(client, repository, client.tags(repository), workers=workers)
        for digest, tags in digests_to_delete(judged, current).items():
            try:
                client.delete_manifest(repository, digest)
            except RegctlError as error:
                results |= dict.fromkeys(tags, ("failed", error))
            else:
                results |= dict.fromkeys(tags, ("deleted", None))
    elif not really:
        results = {v.tag: ("would go", None) for v in judged if v.keep_reason is None}
    rows = []
    for verdict in judged:
        otherwise = "kept" if verdict.keep_reason is not None else "changed"
        result, why = results.get(verdict.tag, (otherwise, None))
        rows.append(_Row(name, verdict, result, why))
    return rows


def _report(app: App, rows: list[_Row]) -> None:
    app.output.listing(
        rows,
        [
            Column("REPOSITORY", lambda r: r.repository),
            Column("TAG", lambda r: r.verdict.tag),
            Column("RESULT", lambda r: r.result, style=_style),
            Column("BECAUSE", _because),
            Column("SIZE", lambda r: size_cell(app, r.verdict.size), right=True),
            Column("CREATED", lambda r: moment(app, r.verdict.created)),
            Column("DIGEST", lambda r: short(app, r.verdict.digest or ""), wide=True),
        ],
        key="images",
        name=lambda r: f"{r.repository}:{r.verdict.tag}",
        record=_record,
    )


def _style(row: _Row) -> str:
    return {"kept": "", "failed": "red"}.get(row.result, "yellow")


def _because(row: _Row) -> str:
    if row.error is not None:
        return row.error.message
    if row.result == "changed":
        return "its tags changed meanwhile"
    return row.verdict.keep_reason or "no rule keeps it"


def _record(row: _Row) -> dict[str, Any]:
    verdict = row.verdict
    return {
        "repository": row.repository,
        "tag": verdict.tag,
        "digest": verdict.digest,
        "created": verdict.created.isoformat() if verdict.created else None,
        "size": verdict.size,
        "result": row.result,
        "because": _because(row),
        "error": error_record(row.error) if row.error is not None else None,
    }


def _settle(app: App, rows: list[_Row], *, really: bool) -> None:
    """Say what is left to do; raise where something could not be deleted."""
    gone = sum(row.result == "deleted" for row in rows)
    going = sum(row.result == "would go" for row in rows)
    failed = [row.error for row in rows if row.error is not None]
    if going and not really:
        app.output.note(f"{going} of {len(rows)} tags would go; --yes deletes them")
    if gone:
        app.output.note("the registry's garbage collection frees the disk")
    if failed and not gone:
        raise failed[0]
    if failed:
        raise PartlyDoneError(
            f"{len(failed)} of {len(failed) + gone} could not be deleted: {failed[0].message}",
            hint=failed[0].hint or "run it again for the rest",
        )
