"""
regctl: run a private Docker registry on Kubernetes.

This package is a small client library, and `regctl.cli` is the command line on top of it. The names
below are imported from their modules at first use. A script that only reads an auth file therefore
loads neither requests nor kubernetes. docs/python.md shows them in use.
"""

# Type checkers take this name for true. The import of typing would cost more than this file.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from regctl.authfile.edit import add_user as add_user
    from regctl.authfile.edit import remove_users as remove_users
    from regctl.authfile.htpasswd import HtpasswdFile as HtpasswdFile
    from regctl.authsecret.secret import AuthSecret as AuthSecret
    from regctl.cluster.client import Cluster as Cluster
    from regctl.cluster.kubeconfig import Kubeconfig as Kubeconfig
    from regctl.cluster.resource import Namespace as Namespace
    from regctl.credentials.credential import Credential as Credential
    from regctl.credentials.dockerconfig import DockerConfig as DockerConfig
    from regctl.errors import RegctlError as RegctlError
    from regctl.images.archive import open_archive as open_archive
    from regctl.images.push import ImagePusher as ImagePusher
    from regctl.images.reader import ImageReader as ImageReader
    from regctl.provisioning.spec import Ingress as Ingress
    from regctl.provisioning.spec import RegistrySpec as RegistrySpec
    from regctl.pullsecrets.plan import PullSecret as PullSecret
    from regctl.pullsecrets.plan import TakeoverPolicy as TakeoverPolicy
    from regctl.reference import ImageReference as ImageReference
    from regctl.reference import Registry as Registry
    from regctl.registry.client import RegistryClient as RegistryClient
    from regctl.registry.transport import ConnectionSettings as ConnectionSettings

__version__ = "2.0.0.dev0"

# Each name of the library and the module that defines it.
_MODULES = {
    "AuthSecret": "authsecret.secret",
    "Cluster": "cluster.client",
    "ConnectionSettings": "registry.transport",
    "Credential": "credentials.credential",
    "DockerConfig": "credentials.dockerconfig",
    "HtpasswdFile": "authfile.htpasswd",
    "ImagePusher": "images.push",
    "ImageReader": "images.reader",
    "ImageReference": "reference",
    "Ingress": "provisioning.spec",
    "Kubeconfig": "cluster.kubeconfig",
    "Namespace": "cluster.resource",
    "PullSecret": "pullsecrets.plan",
    "RegctlError": "errors",
    "Registry": "reference",
    "RegistryClient": "registry.client",
    "RegistrySpec": "provisioning.spec",
    "TakeoverPolicy": "pullsecrets.plan",
    "add_user": "authfile.edit",
    "open_archive": "images.archive",
    "remove_users": "authfile.edit",
}

__all__ = ["__version__", *_MODULES]  # noqa: PLE0604 - the names of the table


def __getattr__(name: str) -> object:
    """Import a name of the library from its module (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - used by library callers only

    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(globals().keys() | _MODULES.keys())
