"""distribution's registry, and images to push to it."""

import base64
import hashlib
import json
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.certificates import Certificate
from tests.servers.process import Process, on_free_port
from tests.servers.programs import find

LIST_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar"


@dataclass(frozen=True)
class DockerRegistry:
    """A running registry; *host* is the first part of its images' names."""

    host: str
    url: str
    root: Path
    process: Process
    ca_file: Path | None = None

    @property
    def log(self) -> Path:
        """Its log file."""
        return self.process.log

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: dict[str, str] | None = None,
        user: tuple[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request without regctl; return status, headers in lower case, and body."""
        url = f"{self.url}{path}" if path.startswith("/") else path
        request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
        if user is not None:
            encoded = base64.b64encode(":".join(user).encode()).decode()
            request.add_header("Authorization", f"Basic {encoded}")
        try:
            with self._opener().open(request, timeout=30) as response:
                return response.status, _lower(response.headers.items()), response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _lower(error.headers.items()), error.read()

    def _opener(self) -> urllib.request.OpenerDirector:
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if self.ca_file is not None:
            context = ssl.create_default_context(cafile=str(self.ca_file))
            handlers.append(urllib.request.HTTPSHandler(context=context))
        return urllib.request.build_opener(*handlers)

    def allows(self, user: str, password: str) -> bool:
        """Return whether the registry accepts this user."""
        status, _, _ = self.request("GET", "/v2/", user=(user, password))
        if status not in {200, 401}:
            raise AssertionError(f"the registry answered {status}")
        return status == 200

    def push_image(
        self,
        repository: str,
        tag: str,
        *,
        layers: Sequence[bytes] = (b"layer",),
        user: tuple[str, str] | None = None,
        config: dict[str, Any] | None = None,
    ) -> str:
        """Push a small image of docker's schema 2; return its digest."""
        config_bytes = json.dumps(
            config
            or {
                "architecture": "amd64",
                "os": "linux",
                "created": "2026-01-02T03:04:05Z",
                "config": {"Labels": {"maintainer": "tests"}},
                "rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in layers]},
                "history": [],
            }
        ).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": self._push_blob(repository, config_bytes, CONFIG_TYPE, user),
            "layers": [self._push_blob(repository, layer, LAYER_TYPE, user) for layer in layers],
        }
        return self.push_manifest(repository, tag, manifest, MANIFEST_TYPE, user=user)

    def push_index(
        self, repository: str, tag: str, digest: str, architecture: str, *, user: tuple[str, str]
    ) -> str:
        """Push a manifest list of one image, for Linux; return its digest."""
        path = f"/v2/{repository}/manifests/{digest}"
        _, _, manifest = self.request("GET", path, headers={"Accept": MANIFEST_TYPE}, user=user)
        entry = {
            "mediaType": MANIFEST_TYPE,
            "size": len(manifest),
            "digest": digest,
            "platform": {"os": "linux", "architecture": architecture},
        }
        index = {"schemaVersion": 2, "mediaType": LIST_TYPE, "manifests": [entry]}
        return self.push_manifest(repository, tag, index, LIST_TYPE, user=user)

    def push_manifest(
        self,
        repository: str,
        reference: str,
        manifest: dict[str, Any],
        media_type: str,
        *,
        user: tuple[str, str] | None = None,
    ) -> str:
        """Push a manifest as it is; return its digest."""
        body = json.dumps(manifest).encode()
        status, headers, answer = self.request(
            "PUT",
            f"/v2/{repository}/manifests/{reference}",
            body,
            headers={"Content-Type": media_type},
            user=user,
        )
        if status != 201:
            raise AssertionError(f"manifest: {status} {answer!r}")
        return headers["docker-content-digest"]

    def copy_repository(self, source: str, targets: Iterable[str]) -> None:
        """Create many repositories quickly, as copies of one on the registry's disk."""
        folder = self.root / "docker" / "registry" / "v2" / "repositories"
        for target in targets:
            shutil.copytree(folder / source, folder / target)

    def forget(self, repository: str) -> None:
        """Delete a repository on the registry's disk."""
        folder = self.root / "docker" / "registry" / "v2" / "repositories"
        shutil.rmtree(folder / repository, ignore_errors=True)

    def _push_blob(
        self, repository: str, data: bytes, media_type: str, user: tuple[str, str] | None
    ) -> dict[str, Any]:
        digest = _digest(data)
        _, headers, _ = self.request("POST", f"/v2/{repository}/blobs/uploads/", b"", user=user)
        location = headers["location"]
        joiner = "&" if "?" in location else "?"
        status, _, answer = self.request(
            "PUT",
            f"{location}{joiner}digest={digest}",
            data,
            headers={"Content-Type": "application/octet-stream"},
            user=user,
        )
        if status != 201:
            raise AssertionError(f"blob: {status} {answer!r}")
        return {"mediaType": media_type, "size": len(data), "digest": digest}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _lower(items: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in items}


@contextmanager
def docker_registry(
    folder: Path,
    *,
    auth_file: Path | None = None,
    certificate: Certificate | None = None,
    max_entries: int | None = None,
    delete: bool = True,
    read_only: bool = False,
    root: Path | None = None,
    env: Mapping[str, str] | None = None,
    debug_port: int | None = None,
) -> Iterator[DockerRegistry]:
    """
    Run a registry with its data in *folder*, or in *root* to share that of another registry.

    *env* sets other options by the registry's own names, such as `REGISTRY_HTTP_PREFIX`.
    *debug_port* is for profiles and metrics, as the image registry:3 opens it.
    """
    program = find("registry")
    folder.mkdir(parents=True, exist_ok=True)
    root = root or folder / "data"
    root.mkdir(exist_ok=True)

    def arguments(port: int) -> list[str]:
        storage: dict[str, Any] = {
            "filesystem": {"rootdirectory": str(root)},
            "delete": {"enabled": delete},
        }
        if read_only:
            storage["maintenance"] = {"readonly": {"enabled": True}}
        http: dict[str, Any] = {"addr": f"127.0.0.1:{port}", "secret": "tests"}
        if debug_port is not None:
            http["debug"] = {"addr": f"127.0.0.1:{debug_port}", "prometheus": {"enabled": True}}
        if certificate is not None:
            http["tls"] = {"certificate": str(certificate.chain), "key": str(certificate.key)}
        config: dict[str, Any] = {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": storage,
            "http": http,
        }
        if auth_file is not None:
            config["auth"] = {"htpasswd": {"realm": "basic-realm", "path": str(auth_file)}}
        if max_entries is not None:
            config["catalog"] = {"maxentries": max_entries}
        path = folder / "config.yml"
        path.write_text(json.dumps(config))  # JSON is YAML
        return [program, "serve", str(path)]

    with on_free_port(arguments, log=folder / "registry.log", env=env) as (process, port):
        scheme = "https" if certificate is not None else "http"
        host = f"127.0.0.1:{port}"
        yield DockerRegistry(
            host,
            f"{scheme}://{host}",
            root,
            process,
            certificate.ca_file if certificate is not None else None,
        )
