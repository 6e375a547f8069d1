"""A validating webhook on loopback, and the objects that make an API server ask it."""

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.servers.certificates import make_certificate
from tests.servers.kubernetes import ApiServer

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
# A new webhook or policy has an effect after a moment.
_TRIES = 5000

Decide = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass
class Webhook:
    """A running webhook: *decide* returns the response for an object."""

    url: str
    ca_file: Path
    decide: Decide = field(default=lambda _object: {"allowed": True})


@contextmanager
def webhook(folder: Path) -> Iterator[Webhook]:
    """Serve a webhook over TLS."""
    certificate = make_certificate(folder)
    hook = Webhook("", certificate.ca_file)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = json.loads(body)["request"]
            response = {"uid": request["uid"], **hook.decide(request["object"])}
            review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
            answer = json.dumps({**review, "response": response}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_arguments: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.chain, certificate.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        hook.url = f"https://127.0.0.1:{server.server_address[1]}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield hook
        finally:
            server.shutdown()
            thread.join()


def ask_webhook(server: ApiServer, namespace: str, url: str, ca_file: Path) -> None:
    """Make *server* ask a webhook about each new Secret of *namespace*."""
    status, answer = server.request(
        "PATCH",
        f"/api/v1/namespaces/{namespace}",
        {"metadata": {"labels": {"asks": namespace}}},
        content_type="application/merge-patch+json",
    )
    assert status == 200, answer
    hook = {
        "name": f"{namespace}.foo.com",
        "clientConfig": {
            "url": url,
            "caBundle": base64.b64encode(ca_file.read_bytes()).decode(),
        },
        "rules": [
            {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["CREATE"],
                "resources": ["secrets"],
            }
        ],
        "namespaceSelector": {"matchLabels": {"asks": namespace}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    body = {"metadata": {"name": namespace}, "webhooks": [hook]}
    status, answer = server.request("POST", f"{ADMISSION}/validatingwebhookconfigurations", body)
    assert status == 201, answer


def until_denied(server: ApiServer, namespace: str, name: str = "probe") -> None:
    """Wait until *server* denies a Secret of that name in *namespace*; none is created."""
    path = f"/api/v1/namespaces/{namespace}/secrets?dryRun=All"
    for _ in range(_TRIES):
        if server.request("POST", path, {"metadata": {"name": name}})[0] >= 400:
            return
    raise AssertionError("the API server denies nothing")
