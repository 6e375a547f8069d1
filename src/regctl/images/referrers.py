"""
The referrers tag: how a registry without the referrers API lists what is about an image.

It refers to an index of the signatures, SBOMs and other manifests whose `subject` is the image
(OCI distribution specification, "Referrers Tag Schema").
"""

import json
from contextlib import suppress

from regctl.errors import MalformedError, NotInRegistryError
from regctl.images.manifests import INDEX_TYPES, Descriptor
from regctl.jsontext import parse_json_object
from regctl.registry.client import RegistryClient


def add_to_referrers_tag(
    client: RegistryClient, repository: str, manifest: Descriptor, body: bytes
) -> None:
    """
    Add a manifest with a subject to the referrers tag of that subject; *body* is its content.

    Raises MalformedError if the tag does not refer to an index, and what RegistryClient raises.
    """
    document = parse_json_object(body, source=f"the manifest {manifest.digest}")
    algorithm, _, value = document["subject"]["digest"].partition(":")
    tag = f"{algorithm[:32]}-{value[:64]}"
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPES[0], "manifests": []}
    source = f"the referrers tag {client.registry}/{repository}:{tag}"
    with suppress(NotInRegistryError):
        index = parse_json_object(client.manifest(repository, tag).body, source=source)
    listed = index.get("manifests")
    if not isinstance(listed, list):
        raise MalformedError(f"cannot read {source}: it is not an index")
    if any(isinstance(one, dict) and one.get("digest") == manifest.digest for one in listed):
        return
    config = document.get("config") or {}
    entry = {
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": manifest.size,
        "artifactType": document.get("artifactType") or config.get("mediaType"),
        "annotations": document.get("annotations"),
    }
    listed.append({key: value for key, value in entry.items() if value})
    content = json.dumps(index, separators=(",", ":")).encode()
    client.put_manifest(repository, tag, content, INDEX_TYPES[0])
