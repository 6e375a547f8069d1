"""Each server's handle does what its name says, on the real program."""

import datetime as dt
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import bcrypt
import pytest

from tests.conftest import Servers
from tests.servers import process, programs
from tests.servers.certificates import make_certificate
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.kubernetes import ApiServer, api_server
from tests.servers.nginx import nginx
from tests.servers.readers import apache, caddy, haproxy, status
from tests.servers.standin_registry import Answer, StandinRegistry, in_turn, standin_registry

HASH = bcrypt.hashpw(b"right", b"$2y$04$" + bcrypt.gensalt(4)[7:]).decode()


@pytest.fixture
def auth_file(tmp_path: Path) -> Path:
    path = tmp_path / "auth"
    path.write_text(f"alice:{HASH}\n")
    tmp_path.chmod(0o755)
    path.chmod(0o644)
    return path


def test_the_registry_takes_an_image_and_reads_the_auth_file(
    serve: Servers, tmp_path: Path, auth_file: Path
) -> None:
    registry = serve(docker_registry(tmp_path / "registry", auth_file=auth_file))
    assert registry.allows("alice", "right")
    assert not registry.allows("alice", "wrong")
    registry.push_image("team/app", "1.0", user=("alice", "right"))
    registry.copy_repository("team/app", ["copy/one", "copy/two"])
    _, _, body = registry.request("GET", "/v2/_catalog", user=("alice", "right"))
    assert body == b'{"repositories":["copy/one","copy/two","team/app"]}\n'


def test_the_registry_speaks_tls(serve: Servers, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path / "tls")
    registry = serve(docker_registry(tmp_path / "registry", certificate=certificate))
    assert registry.request("GET", "/v2/")[0] == 200


def test_an_expired_certificate_is_expired(serve: Servers, tmp_path: Path) -> None:
    yesterday = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1)
    certificate = make_certificate(tmp_path / "tls", expires=yesterday)
    registry = serve(docker_registry(tmp_path / "registry", certificate=certificate))
    with pytest.raises(urllib.error.URLError) as caught:
        registry.request("GET", "/v2/")
    assert isinstance(caught.value.reason, ssl.SSLCertVerificationError)


def test_nginx_guards_the_registry_behind_it(
    serve: Servers, tmp_path: Path, auth_file: Path, registry: DockerRegistry
) -> None:
    front = serve(nginx(tmp_path / "nginx", upstream=registry.host, auth_file=auth_file))
    assert status(f"{front.url}/v2/", "alice", "right") == 200
    assert status(f"{front.url}/v2/", "alice", "wrong") == 401


@pytest.mark.parametrize("server", [apache, haproxy, caddy, nginx])
def test_the_readers_accept_the_users_of_the_file(
    serve: Servers, tmp_path: Path, auth_file: Path, server: object
) -> None:
    if server is apache:
        url = serve(apache(tmp_path / "server", auth_file))
    elif server is haproxy:
        url = serve(haproxy(tmp_path / "server", {"alice": HASH}))
    elif server is caddy:
        url = serve(caddy(tmp_path / "server", {"alice": HASH}))
    else:
        url = serve(nginx(tmp_path / "server", auth_file=auth_file)).url
    assert status(url, "alice", "right") == 200
    assert status(url, "alice", "wrong") == 401
    assert status(url) == 401


def test_the_api_server_knows_users_rights_and_counts(
    kubernetes: ApiServer, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets"
    mark = kubernetes.audit_mark()
    assert kubernetes.request("POST", path, {"metadata": {"name": "x"}})[0] == 201
    assert kubernetes.request("GET", f"{path}/x", user="alice")[0] == 403
    kubernetes.grant(
        "alice", namespace, [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    )
    assert kubernetes.request("GET", f"{path}/x", user="alice")[0] == 200
    events = [
        (event.user, event.verb, event.resource, event.code)
        for event in kubernetes.audit(mark, user_agent="Python-urllib")
        if event.resource != "subjectaccessreviews"  # how `grant` waits
    ]
    assert events == [
        ("admin", "create", "secrets", 201),
        ("alice", "get", "secrets", 403),
        ("admin", "create", "roles", 201),
        ("admin", "create", "rolebindings", 201),
        ("alice", "get", "secrets", 200),
    ]


def test_kubectl_works_with_the_kubeconfig(
    kubernetes: ApiServer, namespace: str, program: Callable[[str], str]
) -> None:
    arguments = [program("kubectl"), "get", "namespace", namespace, "-o", "name"]
    environment = {**os.environ, "KUBECONFIG": str(kubernetes.kubeconfig)}
    shown = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout == f"namespace/{namespace}\n"


@pytest.mark.slow
def test_an_api_server_killed_and_started_has_its_data_and_one_with_limits_answers_429(
    serve: Servers, tmp_path: Path
) -> None:
    limits = ("--max-requests-inflight=1", "--enable-priority-and-fairness=false")
    cluster = serve(api_server(tmp_path / "kubernetes", *limits))
    cluster.create_namespace("kept")
    cluster.restart()
    assert cluster.get("/api/v1/namespaces/kept")["metadata"]["name"] == "kept"

    right = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list"]}
    cluster.grant_cluster("bob", [right])
    stop = threading.Event()
    statuses: set[int] = set()

    def ask() -> None:
        while not stop.is_set() and 429 not in statuses:
            statuses.add(cluster.request("GET", "/api/v1/namespaces", user="bob")[0])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    threads[0].join(30)
    stop.set()
    for thread in threads:
        thread.join()
    assert 429 in statuses


def test_a_terminating_namespace_takes_nothing_new(kubernetes: ApiServer, namespace: str) -> None:
    kubernetes.terminate_namespace(namespace)
    answer = kubernetes.request(
        "POST", f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": "x"}}
    )
    assert answer[0] == 403
    assert answer[1]["details"]["causes"][0]["reason"] == "NamespaceTerminating"


def running() -> list[tuple[int, str]]:
    """Return every process that runs, zombies left out: its process group and command line."""
    command = [programs.find("ps"), "-eww", "-o", "pgid=,stat=,args="]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in listed.splitlines()]
    return [(int(row[0]), row[2]) for row in rows if len(row) == 3 and not row[1].startswith("Z")]


def groups_of(folder: Path) -> set[int]:
    """Return the process groups of the servers in *folder*: their workers do not name it."""
    return {group for group, command in running() if str(folder) in command}


def left_of(groups: set[int]) -> list[str]:
    return [command for group, command in running() if group in groups]


def test_no_process_is_left_of_a_server(serve: Servers, tmp_path: Path, auth_file: Path) -> None:
    folder = tmp_path / "servers"
    with serve:
        serve(docker_registry(folder / "registry"))
        serve(nginx(folder / "nginx", auth_file=auth_file))
        serve(apache(folder / "apache", auth_file))
        serve(haproxy(folder / "haproxy", {"alice": HASH}))
        serve(caddy(folder / "caddy", {"alice": HASH}))
        groups = groups_of(folder)
        assert len(groups) == 5
        assert len(left_of(groups)) > 5  # nginx and httpd have workers
    assert left_of(groups) == []


KILLED = """
import sys, time
from pathlib import Path
from tests.servers.readers import apache
from tests.servers.nginx import nginx
folder, auth_file = map(Path, sys.argv[1:])
with apache(folder / "apache", auth_file), nginx(folder / "nginx", auth_file=auth_file):
    print("they run", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_no_process_is_left_of_a_test_run_that_was_killed(
    tmp_path: Path, auth_file: Path, program: Callable[[str], str]
) -> None:
    for name in ("apache2", "nginx"):
        program(name)
    folder = tmp_path / "servers"
    arguments = [sys.executable, "-c", KILLED, str(folder), str(auth_file)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, cwd=root) as run:
        try:
            assert run.stdout is not None
            assert run.stdout.readline() == b"they run\n"
            groups = groups_of(folder) - {os.getpgid(run.pid)}
            assert len(groups) == 2
        finally:
            run.kill()
    deadline = time.monotonic() + 20
    while left_of(groups) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left_of(groups) == []


def test_a_port_that_somebody_took_is_given_up_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Callable[[str], str]
) -> None:
    program("registry")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        ports = iter([taken.getsockname()[1], process.free_port()])
        monkeypatch.setattr(process, "free_port", lambda: next(ports))
        with docker_registry(tmp_path / "registry") as registry:
            assert registry.request("GET", "/v2/")[0] == 200


def test_a_program_that_does_not_start_says_why(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", "raise SystemExit('no such setting')"]
    with pytest.raises(process.StartError, match="no such setting"):
        process.start(arguments, ready=lambda: False, log=tmp_path / "log")


def test_a_program_is_stopped_if_the_wait_for_it_is_interrupted(tmp_path: Path) -> None:
    def interrupt() -> bool:
        raise KeyboardInterrupt

    arguments = [sys.executable, "-c", "import time; time.sleep(60)", str(tmp_path)]
    with pytest.raises(KeyboardInterrupt):
        process.start(arguments, ready=interrupt, log=tmp_path / "log")
    assert groups_of(tmp_path) == set()


def test_a_missing_program_names_the_target_that_installs_it() -> None:
    with pytest.raises(programs.MissingServerError, match="make test-servers"):
        programs.find("no-such-program")


def test_the_standin_serves_pages_and_records_requests() -> None:
    with standin_registry(StandinRegistry(tags={"a": ["1"], "b": []}, page=1)) as standin:
        assert status(f"{standin.url}/v2/_catalog") == 200
        assert standin.requests[0].path == "/v2/_catalog"
        answer = standin.answer(standin.requests[0])
    assert answer.body == b'{"repositories": ["a"]}'
    assert answer.headers["Link"] == '</v2/_catalog?last=a&n=1>; rel="next"'


def test_the_standin_serves_images_and_scripted_answers() -> None:
    standin = StandinRegistry(script=in_turn(Answer(429, headers={"Retry-After": "1"})))
    digest = standin.put_image("team/app", "1.0", b"layer")
    with standin_registry(standin):
        url = f"{standin.url}/v2/team/app"
        assert status(f"{url}/manifests/1.0") == 429
        with urllib.request.urlopen(f"{url}/manifests/1.0") as response:
            manifest = json.load(response)
        assert response.headers["Docker-Content-Digest"] == digest
        with urllib.request.urlopen(f"{url}/blobs/{manifest['layers'][0]['digest']}") as response:
            assert response.read() == b"layer"
        head = urllib.request.Request(f"{url}/manifests/{digest}", method="HEAD")
        with urllib.request.urlopen(head) as response:
            assert int(response.headers["Content-Length"]) > 0
        assert status(f"{url}/manifests/2.0") == 404


def test_the_standin_truncates_a_download() -> None:
    cut = Answer(body=b"half", headers={"Content-Length": "8"}, hang_up=True)
    with (
        standin_registry(StandinRegistry(script=in_turn(cut))) as standin,
        urllib.request.urlopen(f"{standin.url}/v2/") as response,
        pytest.raises(http.client.IncompleteRead),
    ):
        response.read()
