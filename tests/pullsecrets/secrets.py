"""Secrets as the API server describes them, without a cluster."""

import base64
from typing import Any

from regctl.cluster.ownership import OUR_LABELS
from regctl.cluster.secret import Secret, read_secret
from regctl.credentials.credential import Credential
from regctl.credentials.dockerconfigjson import (
    DOCKERCFG,
    DOCKERCONFIGJSON,
    encode_dockerconfigjson,
)
from tests.dockercfg import encode_dockercfg

ALICE = Credential("alice", "secret")


def pull_secret(
    credentials: dict[str, Credential] | None = None,
    *,
    managed: bool = True,
    kind: str = DOCKERCONFIGJSON,
    content: bytes | None = None,
    immutable: bool = False,
    **metadata: Any,
) -> Secret:
    """Return the Secret `regcred` in `team-a`, by default with ALICE at `r.io`."""
    values = {"r.io": ALICE} if credentials is None else credentials
    if kind == DOCKERCFG:
        data = {".dockercfg": encode_dockercfg(values)}
    else:
        encoded = encode_dockerconfigjson(values) if content is None else content
        data = {".dockerconfigjson": encoded}
    labels = dict(OUR_LABELS) if managed else {}
    return read_secret(
        {
            "metadata": {
                "name": "regcred",
                "namespace": "team-a",
                "uid": "1",
                "resourceVersion": "7",
                **metadata,
                "labels": labels | metadata.get("labels", {}),
            },
            "type": kind,
            "immutable": immutable,
            "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
        }
    )
