"""What a command is given: its output, its environment, and clients made on first use."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from regctl.cli.output import Output
from regctl.errors import ConfirmationError, InvalidInputError

if TYPE_CHECKING:
    from datetime import date, datetime
    from pathlib import Path

    from regctl.cli.credential_options import CredentialOptions
    from regctl.cli.option_groups import ClusterOptions, TransportOptions
    from regctl.cluster.client import Cluster
    from regctl.credentials.credential import Credential
    from regctl.credentials.dockerconfig import DockerConfig
    from regctl.reference import Registry
    from regctl.registry.client import RegistryClient
    from regctl.registry.transport import ConnectionSettings
    from regctl.retry import RequestTrace


@dataclass
class App:
    """The one object that every command gets."""

    output: Output = field(default_factory=Output)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    clock: "Callable[[], datetime] | None" = None

    def __post_init__(self) -> None:
        # https://no-color.org: set and not empty, whatever it says.
        if self.environ.get("NO_COLOR"):
            self.output.color = False

    def today(self) -> "date":
        """Return the day that it is, in UTC: expiry must not depend on where regctl runs."""
        from datetime import datetime, timezone

        return (self.clock() if self.clock else datetime.now(timezone.utc)).date()

    def auth_file(self, path: "Path | None") -> "Path":
        """Return the auth file to work on: the flag, `$REGCTL_AUTH_FILE`, or `auth` here."""
        from pathlib import Path

        return path or Path(self.environ.get("REGCTL_AUTH_FILE") or "auth")

    def docker_config(self) -> "DockerConfig":
        """Return docker's `config.json`; each call reads it again."""
        from regctl.credentials.dockerconfig import DockerConfig

        return DockerConfig.load(self.environ)

    def cluster(self, options: "ClusterOptions") -> "Cluster":
        """Return the cluster that the flags or the environment mean; nothing is sent yet."""
        from regctl.cluster.client import Cluster

        return Cluster.from_environment(
            self.environ,
            kubeconfig=options.kubeconfig,
            context=options.context,
            timeout=options.timeout,
            on_request=self._trace,
        )

    def registry(
        self, name: str | None, credential: "CredentialOptions", transport: "TransportOptions"
    ) -> "RegistryClient":
        """
        Return the client of the registry that is named, or of `$REGCTL_REGISTRY`.

        As the user that the flags, the environment or docker's config name, else as nobody. Raises
        InvalidInputError where no registry is named.
        """
        registry = self.named_registry(name)
        return self.registry_as(registry, credential.resolve(self, registry), transport)

    def named_registry(self, name: str | None) -> "Registry":
        """Return the registry of that name, or of `$REGCTL_REGISTRY`; InvalidInputError if none."""
        from regctl.reference import Registry

        named = name or self.environ.get("REGCTL_REGISTRY")
        if not named:
            raise InvalidInputError("which registry?", hint="name it, or set $REGCTL_REGISTRY")
        return Registry.parse(named)

    def registry_as(
        self,
        registry: "Registry",
        credential: "Credential | None",
        transport: "TransportOptions",
    ) -> "RegistryClient":
        """Return the client of *registry* for just this credential, or as nobody."""
        from regctl.registry.client import RegistryClient

        return RegistryClient(
            registry,
            credential=credential,
            transport=self.transport(transport),
            on_request=self._trace,
            waiting=lambda seconds: self.output.note(
                f"{registry} is busy: waiting {seconds:.0f} s"
            ),
            notice=self.output.note,
        )

    @staticmethod
    def transport(options: "TransportOptions") -> "ConnectionSettings":
        """Return the flags as the library takes them."""
        from regctl.registry.transport import ConnectionSettings

        return ConnectionSettings(
            options.ca_file,
            options.client_cert,
            options.client_key,
            plain_http=options.plain_http,
            insecure_skip_tls_verify=options.insecure_skip_tls_verify,
        )

    def _trace(self, trace: "RequestTrace") -> None:
        status = trace.status or "no answer"
        milliseconds = round(trace.seconds * 1000)
        self.output.trace(f"{trace.method} {trace.url} {status} {milliseconds} ms")

    @property
    def interactive(self) -> bool:
        """Whether there is somebody to ask."""
        return sys.stdin.isatty()

    def confirm(self, question: str, *, yes: bool) -> None:
        """
        Ask before something that can't be undone; *yes* answers beforehand.

        Raises ConfirmationError when the answer is no, or when there is nobody to ask.
        """
        if yes:
            return
        if not self.interactive:
            raise ConfirmationError(
                f"not confirmed: {question}", hint="pass --yes where there is no terminal"
            )
        if not click.confirm(question, err=True):
            raise ConfirmationError("nothing was changed")


pass_app = click.make_pass_decorator(App, ensure=True)
