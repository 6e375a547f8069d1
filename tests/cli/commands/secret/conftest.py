"""The environment of a user of `regctl secret ...`."""

import pytest

from tests.cli.commands.secret import PASSWORD
from tests.servers.kubernetes import ApiServer


@pytest.fixture(autouse=True)
def environment(kubernetes: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An administrator with a registry and a password."""
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    monkeypatch.setenv("REGCTL_REGISTRY", "registry.foo.com")
    monkeypatch.setenv("REGCTL_USERNAME", "alice")
    monkeypatch.setenv("REGCTL_PASSWORD", PASSWORD)
