"""
Fixtures for the real programs, and isolation from the person who runs the tests.

A program that is not installed skips the test and names the command that installs it. If
REGCTL_REQUIRE_SERVERS is set, as in continuous integration, the test fails instead. With
REGCTL_TEST_SERVERS=oldest only the tests run that can start a program.
"""

import itertools
import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import hypothesis
import pytest

from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.kubernetes import ApiServer, api_server
from tests.servers.programs import PROGRAMS, MissingServerError, describe, find, wants_oldest

T = TypeVar("T")

# Variables that programs and libraries read: proxies, trust, credentials, colour.
HIDDEN = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NETRC",
    "REGISTRY_AUTH_FILE",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "NO_COLOR",
    "FORCE_COLOR",
    "COLUMNS",
)

# The fixtures that start programs. All others that do so use one of these.
STARTERS = {"serve", "serve_module", "serve_session", "program"}

_numbers = itertools.count(1)

# A busy machine is no failure, and each run draws the same examples. To look for new ones:
# REGCTL_TEST_EXAMPLES=5000 pytest tests/authfile
_EXAMPLES = int(os.environ.get("REGCTL_TEST_EXAMPLES", "0"))
hypothesis.settings.register_profile(
    "tests",
    deadline=None,
    derandomize=not _EXAMPLES,
    max_examples=_EXAMPLES or 100,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("tests")


def pytest_configure() -> None:
    """Make Ctrl-C work in tests: a shell starts a background job with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> list[str]:
    """Name the programs that the tests run, with their versions."""
    used, unused = [], []
    for name in PROGRAMS:
        try:
            used.append(describe(name))
        except MissingServerError:
            unused.append(name)
    return [f"programs: {', '.join(used)}", f"not installed: {', '.join(unused) or 'none'}"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that start no program if the oldest ones are asked for."""
    if not wants_oldest():
        return
    kept = [item for item in items if STARTERS.intersection(getattr(item, "fixturenames", ()))]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = kept


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None]:
    """Skip a test if a fixture misses a program."""
    with missing_program_skips():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    """Skip a test if it misses a program."""
    with missing_program_skips():
        return (yield)


@contextmanager
def missing_program_skips() -> Iterator[None]:
    """Turn MissingServerError into a skip, or into a failure if every program is required."""
    try:
        yield
    except MissingServerError as error:
        if os.environ.get("REGCTL_REQUIRE_SERVERS"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def isolated_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test its own home folder, and none of the user's variables."""
    home = tmp_path / "home"
    home.mkdir()
    for name in list(os.environ):
        if name.startswith(("REGCTL_", "DOCKER_", "KUBE")) and name not in {
            "REGCTL_REQUIRE_SERVERS",
            "REGCTL_TEST_CACHE",
            "REGCTL_TEST_SERVERS",
            "KUBEBUILDER_ASSETS",
        }:
            monkeypatch.delenv(name)
    for name in HIDDEN:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HOME", str(home))
    return home


class Servers(ExitStack):
    """Start servers of tests/servers; each runs until the end of the fixture's scope."""

    def __call__(self, server: AbstractContextManager[T]) -> T:
        """Start *server* and return its handle: `serve(nginx(folder))`."""
        return self.enter_context(server)


@pytest.fixture
def serve() -> Iterator[Servers]:
    with Servers() as servers:
        yield servers


@pytest.fixture(scope="module")
def serve_module() -> Iterator[Servers]:
    with Servers() as servers:
        yield servers


@pytest.fixture(scope="session")
def serve_session() -> Iterator[Servers]:
    with Servers() as servers:
        yield servers


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Return the path of a real program that a test compares with."""
    return find


@pytest.fixture(scope="session")
def kubernetes(serve_session: Servers, tmp_path_factory: pytest.TempPathFactory) -> ApiServer:
    """Run one API server for the whole session."""
    return serve_session(api_server(tmp_path_factory.mktemp("kubernetes")))


@pytest.fixture
def namespace(kubernetes: ApiServer) -> str:
    """Create a namespace for this test only."""
    return kubernetes.create_namespace(f"test-{next(_numbers)}")


@pytest.fixture(scope="session")
def registry(serve_session: Servers, tmp_path_factory: pytest.TempPathFactory) -> DockerRegistry:
    """Run one registry without authentication for the whole session."""
    return serve_session(docker_registry(tmp_path_factory.mktemp("registry")))
