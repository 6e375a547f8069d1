"""`regctl ping`: why a registry can't be used, or that it can."""

import re
from typing import TYPE_CHECKING

import click

from regctl.cli.app import App, pass_app
from regctl.cli.checks import report
from regctl.cli.credential_options import CredentialOptions, credential_options
from regctl.cli.option_groups import (
    TransportOptions,
    output_option,
    registry_argument,
    transport_options,
)
from regctl.cli.params import Command
from regctl.errors import InvalidInputError

if TYPE_CHECKING:
    from regctl.registry.client import RegistryClient

_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


@click.command(
    cls=Command,
    examples=[
        "regctl ping registry.foo.com",
        "regctl ping registry.foo.com --username ci --password-stdin --upload 8M",
        "regctl ping localhost:5000 --plain-http -o json",
    ],
)
@registry_argument
@click.option("--upload", metavar="SIZE", help="Send so much, as 8M, and cancel: does it pass?")
@credential_options
@transport_options
@output_option("table", "json", "yaml")
@pass_app
def ping(
    app: App,
    *,
    registry: str | None,
    upload: str | None,
    credential: CredentialOptions,
    transport: TransportOptions,
) -> None:
    """
    Say step by step whether a registry can be used, and if not, why.

    Its name, the connection, the certificate, whether it is a registry, how it authenticates,
    whether the password is right, and what this user may. Exit code 4 is a refused password, 1
    anything else that fails.
    """
    from regctl.registry.ping import diagnose, verdict

    size = _bytes(upload) if upload is not None else None
    where = app.named_registry(registry)
    who = credential.resolve(app, where)

    def connect(as_user: bool) -> "RegistryClient":
        return app.registry_as(where, who if as_user else None, transport)

    user = (who.username or "the token's user") if who is not None else None
    report(app, diagnose(connect, app.transport(transport), user=user, upload=size), verdict)


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+)\s*([kmg]?)i?b?", text.strip().lower())
    if match is None or int(match[1]) == 0:
        raise InvalidInputError(f"not a size: {text!r}", hint="a size is like 8M or 500k")
    return int(match[1]) * _UNITS[match[2]]
