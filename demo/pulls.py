"""A client that pulls as a kubelet does: with what the pull secret holds at that moment."""

import base64
import itertools
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.servers.kubernetes import Api

MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


@dataclass
class Puller:
    """Pulls *image* of the registry at *host* in one namespace after the other, and counts."""

    cluster: Api
    namespaces: tuple[str, ...]
    secret: str
    host: str
    image: str
    pulls: int = 0
    failed: int = 0

    @contextmanager
    def all_the_time(self) -> Iterator[None]:
        """Pull during the block, and once in each namespace at least."""
        done = threading.Event()

        def pull_until_done() -> None:
            for namespace in itertools.cycle(self.namespaces):
                self._pull(namespace)
                if done.is_set() and self.pulls >= len(self.namespaces):
                    return

        with ThreadPoolExecutor(1) as thread:
            result = thread.submit(pull_until_done)
            try:
                yield
            finally:
                done.set()
        result.result()

    def _pull(self, namespace: str) -> None:
        """Fetch the manifest, the config and the layers; a 401 to the credential is a failure."""
        secret = self.cluster.secret(namespace, self.secret)
        content = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))
        authorization = f"Basic {content['auths'][self.host]['auth']}"
        repository, _, tag = self.image.partition(":")
        base = f"http://{self.host}/v2/{repository}"
        self.pulls += 1
        try:
            manifest: dict[str, Any] = json.loads(_get(f"{base}/manifests/{tag}", authorization))
            for blob in (manifest["config"], *manifest["layers"]):
                _get(f"{base}/blobs/{blob['digest']}", authorization)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != 401:
                raise
            self.failed += 1


def _get(url: str, authorization: str) -> bytes:
    headers = {"Authorization": authorization, "Accept": ", ".join(MANIFESTS)}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, headers=headers), timeout=30) as response:
        content: bytes = response.read()
    return content
