"""
Whatever bytes a stranger sends, a command ends with an exit code of the table and no defect.

Each example is something valid with a few values replaced.
"""

import base64
import copy
import gzip
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from docs.commands import EXIT_CODES
from tests.cli import run
from tests.conftest import Servers
from tests.saved_images import docker_archive, tar_of
from tests.servers.hostile import HostileServer, hostile_server, whole

# Without shrinking, which takes minutes: the examples are small.
SETTINGS = hypothesis.settings(
    suppress_health_check=list(hypothesis.HealthCheck),
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)

DEEP: Any = "deep"
for _ in range(200):
    DEEP = [DEEP]
VALUES = [
    None, True, 0, -1, 10**400, 1e308, float("nan"), float("inf"), "", " ", "\x00", "\ud800",
    "\x1b[2J\r\n\u202e", "https://[::1", "http://x:99999999", "a" * 3000, "é" * 200, "9" * 5000,
    "2026-13-45T99:99:99Z", "0001-01-01T00:00:00+23:59", "====", "e30=", "sha256:", "*" * 50,
    [], [None], [[]], {}, {"": None}, {"a": [{}]}, DEEP,
]  # fmt: skip
MODES = [(), ("-o", "json"), ("-o", "yaml")]


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of each part of a document."""
    yield path
    if isinstance(value, dict | list) and len(path) < 9:
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(part, (*path, key))


@st.composite
def mutated(draw: st.DrawFn, document: Any) -> Any:
    """Draw *document* with one to three of its parts replaced or removed."""
    changed = {"it": copy.deepcopy(document)}
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(paths(changed))[1:]))
        parent: Any = changed
        for key in path[:-1]:
            parent = parent[key]
        if len(path) > 1 and draw(st.integers(0, 4)) == 0:
            del parent[path[-1]]
        else:
            parent[path[-1]] = copy.deepcopy(draw(st.sampled_from(VALUES)))
    return changed["it"]


def mutated_bytes(data: bytes) -> st.SearchStrategy[bytes]:
    """Draw *data* with a piece of it replaced."""
    at = st.integers(0, len(data))
    pieces = st.binary(max_size=4) | st.sampled_from([b"\x00", b"\xff\xfe", b"9" * 5000, b"\n" * 9])
    return st.builds(lambda a, b, piece: data[:a] + piece + data[b:], at, at, pieces)


def check(*args: str | Path, **more: Any) -> None:
    """Run regctl; it must end as documented."""
    result = run(*args, **more)
    assert str(result.exit_code) in EXIT_CODES
    assert "defect" not in result.stderr, result.stderr
    assert result.stdout.replace("\n", "").replace("\t", "").isprintable()
    if args[-1] == "json" and result.stdout:
        json.loads(result.stdout, parse_constant=pytest.fail)


# Registries

CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "created": "2026-03-04T05:06:07.123456789Z",
    "config": {"Labels": {"a": "b"}},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]},
}
MANIFEST = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "size": 10,
        "digest": "sha256:" + "1" * 64,
    },
    "layers": [{"mediaType": "x/y", "size": 10, "digest": "sha256:" + "2" * 64}],
    "annotations": {"a": "b"},
    "subject": {"mediaType": "x/y", "size": 10, "digest": "sha256:" + "3" * 64},
}
INDEX = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.index.v1+json",
    "manifests": [
        {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "size": 10,
            "digest": "sha256:" + "4" * 64,
            "platform": {"os": "linux", "architecture": "amd64", "variant": "v8"},
        }
    ],
}
HEADERS = {
    "Content-Type": "application/vnd.oci.image.index.v1+json",
    "Docker-Content-Digest": "sha256:" + "5" * 64,
    "Docker-Distribution-Api-Version": "registry/2.0",
    "Link": '</v2/_catalog?last=b>; rel="next"',
    "WWW-Authenticate": 'Bearer realm="http://127.0.0.1:1/token",service="s",scope="a:b:c"',
    "Warning": '299 - "mind"',
    "Date": "Tue, 01 Dec 2026 00:00:00 GMT",
    "Range": "0-9",
    "Location": "/v2/team/app/blobs/uploads/1",
    "Content-Encoding": "gzip",
}
REGISTRY = {
    "_catalog": {"repositories": ["team/app", "other"]},
    "list": {"name": "team/app", "tags": ["1", "2"]},
    "manifests": MANIFEST,
    "index": INDEX,
    "blobs": CONFIG,
    "error": {"errors": [{"code": "DENIED", "message": "no", "detail": {"a": "b"}}]},
    "token": {"token": "t", "issued_at": "2026-12-01T00:00:00Z", "expires_in": 60},
}
STATUSES = [200, 200, 200, 201, 202, 204, 301, 400, 401, 403, 404, 405, 416]


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connect to nothing else, whatever an answer says."""
    resolve = socket.getaddrinfo

    def answer(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in {"127.0.0.1", b"127.0.0.1", "localhost"}:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", answer)


@pytest.fixture(scope="module")
def hostile(serve_module: Servers) -> HostileServer:
    """A server that answers as the function in ANSWER does."""

    def answer(head: bytes) -> list[bytes]:
        return ANSWER[0](head)

    return serve_module(hostile_server(answer))


ANSWER: list[Callable[[bytes], list[bytes]]] = [lambda _head: []]


def text_of(document: Any) -> bytes:
    return json.dumps(document).encode()


@st.composite
def registry_answers(draw: st.DrawFn) -> Callable[[bytes], list[bytes]]:
    documents = draw(mutated(REGISTRY))
    documents = documents if isinstance(documents, dict) else {}
    headers = draw(st.dictionaries(st.sampled_from(sorted(HEADERS)), st.none(), max_size=3))
    lines = b"".join(
        f"{name}: {draw(mutated_bytes(HEADERS[name].encode())).decode('latin-1')}\r\n".encode(
            "latin-1"
        )
        for name in headers
    )
    as_index, status = draw(st.booleans()), draw(st.sampled_from(STATUSES))
    begin = draw(st.integers(0, 3))
    seen = [0]

    def answer(head: bytes) -> list[bytes]:
        if not head.endswith(b"\r\n\r\n"):
            return []  # TLS, which `ping` tries
        seen[0] += 1
        path = head.split(b" ")[1].partition(b"?")[0].decode("latin-1")
        kind = next((word for word in reversed(path.split("/")) if word in REGISTRY), "error")
        kind = "index" if kind == "manifests" and as_index else kind
        bad = seen[0] > begin
        code = status if bad else 200
        body = text_of(documents.get(kind if code < 300 else "error", {}))
        # Pages without an end are another test's.
        more = lines if bad and seen[0] < 20 else b""
        return [whole(body, more, f"HTTP/1.1 {code} X".encode())]

    return answer


REGISTRY_COMMANDS = [
    "catalog {0}",
    "ping {0}",
    "doctor {0}",
    "tags {0}/team/app",
    "tags {0}/team/app --long",
    "image inspect {0}/team/app:1",
    "image delete {0}/team/app:1 --yes",
    "image tag {0}/team/app:1 new",
    "image prune {0}/team/app --keep-last 1 --yes",
]


@given(
    answer=registry_answers(),
    command=st.sampled_from(REGISTRY_COMMANDS),
    mode=st.sampled_from(MODES),
)
@SETTINGS
def test_what_a_registry_answers(
    hostile: HostileServer, answer: Callable[[bytes], list[bytes]], command: str, mode: tuple[str]
) -> None:
    ANSWER[0] = answer
    env = {"REGCTL_USERNAME": "ci", "REGCTL_PASSWORD": "hunter2hunter2"}
    words = command.format(hostile.host).split()
    check(*words, "--plain-http", "--timeout", "5s", *mode, env=env)


# The cluster

ENTRY = {
    "username": "ci",
    "password": "hunter2hunter2",
    "auth": base64.b64encode(b"ci:hunter2hunter2").decode(),
}
DOCKER_CONFIG = {"auths": {"127.0.0.1:1": ENTRY, "https://127.0.0.1:2/v1/": ENTRY}}
META = {
    "name": "x",
    "namespace": "team-a",
    "uid": "u",
    "resourceVersion": "1",
    "creationTimestamp": "2026-12-01T00:00:00Z",
    "labels": {"app.kubernetes.io/managed-by": "regctl"},
    "annotations": {"a": "b"},
    "managedFields": [
        {"manager": "regctl", "operation": "Apply", "fieldsV1": {"f:data": {"f:auth": {}}}}
    ],
    "ownerReferences": [{"kind": "Deployment", "name": "x", "uid": "u", "controller": True}],
}
POD = {
    "metadata": META,
    "spec": {
        "serviceAccountName": "default",
        "imagePullSecrets": [{"name": "x"}],
        "containers": [{"name": "a", "image": "127.0.0.1:1/a:1"}],
    },
    "status": {
        "phase": "Pending",
        "containerStatuses": [
            {"name": "a", "state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}}
        ],
    },
}
ITEMS: dict[str, Any] = {
    "namespaces": {"metadata": META | {"name": "team-a"}, "status": {"phase": "Active"}},
    "serviceaccounts": {
        "metadata": META | {"name": "default"},
        "imagePullSecrets": [{"name": "x"}],
    },
    "pods": POD,
    "deployments": {"metadata": META, "spec": {"selector": {}, "template": POD}},
}
STATUS = {
    "kind": "Status", "status": "Failure", "reason": "Forbidden", "message": "no", "code": 403,
    "details": {"name": "x", "kind": "secrets", "causes": [{"message": "no", "field": "a"}]},
}  # fmt: skip
CLUSTER_COMMANDS = [
    "secret list -A",
    "secret check -A",
    "secret show team-a/x",
    "secret create x --server 127.0.0.1:1 -u ci -A --no-verify --check",
    "secret delete x -A --yes",
    "deluser ci -A -f {0}",
    "auth push -f {0} --auth-secret team-a/x --check",
    "auth pull -f {0} --auth-secret team-a/x --check",
    "registry list -A",
    "doctor pod/x -n team-a",
    "rotate ci --server 127.0.0.1:1 -f {0} --dry-run",
]


# The API server itself is trusted: its objects have the fields that their schemas say.
@st.composite
def cluster_answers(draw: st.DrawFn) -> Callable[[bytes], list[bytes]]:
    config = draw(st.just(DOCKER_CONFIG) | mutated(DOCKER_CONFIG))
    data = {".dockerconfigjson": base64.b64encode(text_of(config)).decode()}
    secret = {"metadata": META, "type": "kubernetes.io/dockerconfigjson", "data": data}
    if draw(st.integers(0, 3)) == 0:
        users = draw(mutated_bytes(USERS))
        secret = {"metadata": META, "data": {"auth": base64.b64encode(users).decode()}}
    items = ITEMS | {"secrets": secret}
    status = draw(mutated(STATUS))
    begin = draw(st.integers(0, 20))
    seen = [0]

    def answer(head: bytes) -> list[bytes]:
        if not head.endswith(b"\r\n\r\n"):
            return []
        seen[0] += 1
        if seen[0] == begin:
            return [whole(text_of(status), status=b"HTTP/1.1 403 Forbidden")]
        words = head.split(b" ")[1].partition(b"?")[0].decode("latin-1").split("/")
        kind = next((word for word in reversed(words) if word in items), None)
        if kind is None:
            return [whole(text_of({"items": []}))]
        if words[-1] != kind:
            return [whole(text_of(items[kind]))]
        return [whole(text_of({"kind": "List", "items": [items[kind]]}))]

    return answer


USERS = (
    b"#regctl:expires=2027-01-01\nci:$2y$04$zVHmKQtGGQob.b/Nc7l9NO8UlrYpRY0N1cGn7YC8gAuYEgrJ6lR6y\n"
)


@given(
    answer=cluster_answers(),
    command=st.sampled_from(CLUSTER_COMMANDS),
    mode=st.sampled_from(MODES),
)
@SETTINGS
def test_what_an_api_server_answers(
    hostile: HostileServer,
    tmp_path: Path,
    answer: Callable[[bytes], list[bytes]],
    command: str,
    mode: tuple[str],
) -> None:
    ANSWER[0] = answer
    file = tmp_path / "auth"
    file.write_bytes(USERS)
    env = {"REGCTL_PASSWORD": "hunter2hunter2"}
    words = command.format(file).split()
    check(*words, "--kubeconfig", hostile.kubeconfig(tmp_path), *mode, env=env)


def test_a_controller_for_every_secret_ends_the_search_for_a_free_name(
    hostile: HostileServer, tmp_path: Path
) -> None:
    """Once doctor tried one longer name after the other, and then from the beginning."""
    asked = []

    def answer(head: bytes) -> list[bytes]:
        path = head.split(b" ")[1].partition(b"?")[0].decode()
        kind = next((kind for kind in ITEMS if f"/{kind}" in path), "secrets")
        name = path.rpartition("/")[2]
        asked.append(name)
        secret = {"metadata": META | {"name": name}, "type": "Opaque", "data": {}}
        item = ITEMS["pods" if "/pods" in path else "serviceaccounts"]
        if "/secrets" in path:
            item = secret
        return [whole(text_of(item if kind != name else {"items": [item]}))]

    ANSWER[0] = answer
    kubeconfig = hostile.kubeconfig(tmp_path)
    result = run("doctor", "pod/x", "-n", "team-a", "--kubeconfig", kubeconfig)
    assert result.exit_code == 1
    assert "defect" not in result.stderr
    assert max(map(len, asked)) < 50


# Files


@given(content=mutated_bytes(USERS * 2), mode=st.sampled_from(MODES))
@SETTINGS
def test_an_auth_file(tmp_path: Path, content: bytes, mode: tuple[str]) -> None:
    file = tmp_path / "auth"
    for command in ("users", "auth check", "auth check --fix", "auth lock ci"):
        file.write_bytes(content)
        check(*command.split(), "-f", file, *mode)
    file.write_bytes(content)
    check("verify", "ci", "--password-stdin", "-f", file, stdin="wrong")


USER_LIST = {"users": [{"name": "ci", "password": "hunter2hunter2"}]}
SYNC = {
    "name": "it",
    "secrets": [
        {
            "name": "x",
            "registries": [
                {
                    "server": "127.0.0.1:1",
                    "email": "a@b",
                    "credential": {"file": {"username": "ci", "path": "/none"}},
                }
            ],
            "targets": {"namespaces": ["team-a"], "selector": "a=b", "exclude": ["*-x"]},
            "attach": ["default"],
            "merge": True,
        }
    ],
}


@given(
    document=mutated(SYNC) | mutated(USER_LIST),
    as_text=st.binary(max_size=5),
    mode=st.sampled_from(MODES),
)
@SETTINGS
def test_a_declared_file(
    hostile: HostileServer, tmp_path: Path, document: Any, as_text: bytes, mode: tuple[str]
) -> None:
    ANSWER[0] = lambda _head: [whole(text_of({"items": []}))]
    file = tmp_path / "file.yaml"
    file.write_bytes(text_of(document) + as_text)
    kubeconfig = hostile.kubeconfig(tmp_path)
    check("secret", "sync", file, "--check", "--kubeconfig", kubeconfig, *mode)
    for form in ("yaml", "json", "csv", "lines"):
        words = ("auth", "write", file, "--format", form, "--dry-run", "-f", tmp_path / "auth")
        check(*words, *mode)


@given(
    document=mutated(DOCKER_CONFIG | {"credHelpers": {"a.b": "x"}, "credsStore": "none"}),
    cut=st.integers(0, 3),
)
@SETTINGS
def test_a_config_of_docker(tmp_path: Path, document: Any, cut: int) -> None:
    text = text_of(document)
    (tmp_path / "config.json").write_bytes(text[: len(text) - cut])
    env = {"DOCKER_CONFIG": str(tmp_path)}
    check("logout", "127.0.0.1:1", env=env)
    check("ping", "127.0.0.1:1", "--plain-http", env=env)


KUBECONFIG = {
    "current-context": "it",
    "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": "n"}}],
    "clusters": [{"name": "it", "cluster": {"server": "http://127.0.0.1:1"}}],
    "users": [{"name": "it", "user": {"token": "t", "client-certificate-data": "eA=="}}],
}


@given(document=mutated(KUBECONFIG))
@SETTINGS
def test_a_kubeconfig(tmp_path: Path, document: Any) -> None:
    path = tmp_path / "kubeconfig"
    path.write_bytes(text_of(document))
    check("secret", "list", "-n", "team-a", "--timeout", "1s", "--kubeconfig", path)


LAYER = tar_of({"file": b"content"})
SAVED = docker_archive((["team/app:1"], [LAYER]))


@given(
    manifest=mutated(json.loads(SAVED["manifest.json"])),
    mode=st.sampled_from(MODES),
    data=st.data(),
)
@SETTINGS
def test_a_saved_image(
    hostile: HostileServer, tmp_path: Path, manifest: Any, mode: tuple[str], data: st.DataObject
) -> None:
    ANSWER[0] = lambda _head: [whole(text_of({}), status=b"HTTP/1.1 404 X")]
    path = tmp_path / "saved.tar"
    saved = tar_of(SAVED | {"manifest.json": text_of(manifest)})
    kind = data.draw(st.sampled_from(["whole", "changed", "gzip"]))
    if kind == "gzip":
        saved = data.draw(mutated_bytes(gzip.compress(saved, mtime=0)))
    elif kind == "changed":
        saved = data.draw(mutated_bytes(tar_of(SAVED)))
    path.write_bytes(saved)
    check("image", "push", path, f"{hostile.host}/team/app", "--plain-http", "--dry-run", *mode)
