"""The older form of a pull secret's content, which regctl reads and never writes."""

import json
from collections.abc import Mapping

from regctl.credentials.credential import Credential
from regctl.credentials.dockerconfigjson import encode_dockerconfigjson


def encode_dockercfg(credentials: Mapping[str, Credential]) -> bytes:
    """Return the content of `.dockercfg`: that of `.dockerconfigjson` without `auths` around it."""
    return json.dumps(json.loads(encode_dockerconfigjson(credentials))["auths"]).encode()
