"""The demo's registry and API server: the real ones if they are installed, else stand-ins."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from regctl.authfile.htpasswd import HtpasswdFile
from tests.servers.docker_registry import docker_registry
from tests.servers.kubernetes import Api, api_server
from tests.servers.programs import MissingServerError, describe, find
from tests.servers.standin_api import standin_api
from tests.servers.standin_registry import StandinRegistry, standin_registry


@dataclass(frozen=True)
class Servers:
    """
    Starts servers with their files in *folder*; they run until *stack* is closed.

    *used* names what was started, with its version. *stand_in* takes no real program.
    """

    stack: ExitStack
    folder: Path
    stand_in: bool
    used: list[str] = field(default_factory=list)

    def registry(self, auth_file: Path, image: str, user: tuple[str, str]) -> str:
        """Start a registry that reads *auth_file*; *user* pushes *image*. Return its host."""
        repository, _, tag = image.partition(":")
        if self._are_real("a stand-in registry", "registry"):
            real = docker_registry(self.folder / "registry", auth_file=auth_file)
            registry = self.stack.enter_context(real)
            registry.push_image(repository, tag, user=user)
            return registry.host
        state = StandinRegistry(allows=lambda *user: HtpasswdFile.read(auth_file).matches(*user))
        state.put_image(repository, tag, b"layer")
        return self.stack.enter_context(standin_registry(state)).host

    def cluster(self) -> Api:
        """Start an API server."""
        folder = self.folder / "kubernetes"
        if self._are_real("a stand-in API server", "kube-apiserver", "etcd", "openssl"):
            return self.stack.enter_context(api_server(folder))
        return self.stack.enter_context(standin_api(folder))

    def _are_real(self, instead: str, *programs: str) -> bool:
        """Return whether *programs* are used; note them in *used*, or why not."""
        if reason := self._why_not(programs):
            self.used.append(f"{instead}: {reason}")
            return False
        self.used.extend(map(describe, programs))
        return True

    def _why_not(self, programs: tuple[str, ...]) -> str | None:
        if self.stand_in:
            return "you asked for one"
        try:
            for program in programs:
                find(program)
        except MissingServerError as error:
            return str(error)
        return None
