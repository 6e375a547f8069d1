"""Saved images for tests, in docker's format and as an OCI layout, built byte by byte."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def config_of(layers: Sequence[bytes], *, architecture: str = "amd64") -> bytes:
    """Return an image's configuration; *layers* are its uncompressed tars."""
    return json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "created": "2026-03-04T05:06:07Z",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        }
    ).encode()


def tar_of(files: Mapping[str, bytes], *, links: Mapping[str, str] | None = None) -> bytes:
    """Return a tar with these files; *links* are symbolic links."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return whole.getvalue()


def docker_archive(*images: tuple[Sequence[str], Sequence[bytes]]) -> dict[str, bytes]:
    """Return the files that `docker save` writes for images, each with its names and layers."""
    files: dict[str, bytes] = {}
    listed = []
    for names, layers in images:
        config = config_of(layers)
        config_name = f"{hashlib.sha256(config).hexdigest()}.json"
        layer_names = [f"{hashlib.sha256(layer).hexdigest()}/layer.tar" for layer in layers]
        files |= {config_name: config, **dict(zip(layer_names, layers, strict=True))}
        listed.append({"Config": config_name, "RepoTags": list(names), "Layers": layer_names})
    return {**files, "manifest.json": json.dumps(listed).encode()}


class Layout:
    """An OCI image layout under construction."""

    def __init__(self) -> None:
        self.files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
        self.listed: list[dict[str, Any]] = []

    def blob(self, data: bytes, media_type: str) -> dict[str, Any]:
        """Add a blob; return its descriptor."""
        digest = digest_of(data)
        self.files[f"blobs/{digest.replace(':', '/')}"] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def image(
        self, layers: Sequence[bytes], *, architecture: str = "amd64", **more: object
    ) -> dict[str, Any]:
        """Add an image with *more* in its manifest; return its descriptor, with its platform."""
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": self.blob(config_of(layers, architecture=architecture), OCI_CONFIG),
            "layers": [self.blob(gzip.compress(layer, mtime=0), OCI_LAYER) for layer in layers],
            **more,
        }
        platform = {"os": "linux", "architecture": architecture}
        return self.blob(json.dumps(manifest).encode(), OCI_MANIFEST) | {"platform": platform}

    def index(self, *children: dict[str, Any]) -> dict[str, Any]:
        """Add an index of images; return its descriptor."""
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(children)}
        return self.blob(json.dumps(document).encode(), OCI_INDEX)

    def name(self, descriptor: dict[str, Any], name: str) -> None:
        """Add a descriptor with a name to index.json."""
        annotations = {"org.opencontainers.image.ref.name": name}
        self.listed.append(descriptor | {"annotations": annotations})

    def drop(self, *descriptors: dict[str, Any]) -> None:
        """Remove what `docker save` does not have: a manifest, or another blob."""
        for one in descriptors:
            del self.files[f"blobs/{one['digest'].replace(':', '/')}"]

    def all_files(self) -> dict[str, bytes]:
        """Return all files by name."""
        index = {"schemaVersion": 2, "manifests": self.listed}
        return {**self.files, "index.json": json.dumps(index).encode()}

    def write(self, folder: Path) -> Path:
        """Write all files to *folder*."""
        for name, data in self.all_files().items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return folder
