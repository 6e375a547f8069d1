"""`regctl ping`: whether a registry can be used, and why not."""

from functools import partial

import click

from regctl.cli.app import App, pass_app
from regctl.cli.checks import report
from regctl.cli.command import Command, option
from regctl.cli.options import CredentialFlags
from regctl.cli.params import (
    BYTE_SIZE,
    credential_options,
    output_option,
    registry_argument,
    registry_options,
)


@click.command(
    cls=Command,
    examples=[
        "regctl ping registry.foo.com",
        "regctl ping registry.foo.com --username ci --password-stdin --upload 8M",
        "regctl ping localhost:5000 --plain-http -o json",
    ],
)
@registry_argument
@option(
    "--upload",
    type=BYTE_SIZE,
    metavar="SIZE",
    help="Upload this much, such as 8M, and cancel the upload.",
)
@credential_options
@registry_options
@output_option("table", "json", "yaml")
@pass_app
def ping(
    app: App, *, registry: str | None, upload: int | None, credential: CredentialFlags
) -> None:
    """
    Check name, connection, TLS, password and access of a registry.

    Exit code 4 means that the registry rejects the password, 1 any other failure.
    """
    from regctl.registry.ping import diagnose, verdict

    where = app.named_registry(registry)
    who = app.credential(credential, where)
    connect = partial(app.registry_as, where)
    report(app, diagnose(connect, who, upload_bytes=upload), verdict)
