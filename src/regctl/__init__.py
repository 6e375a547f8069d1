"""
regctl: run a private Docker registry on Kubernetes.

The modules of this package are a small client library; `regctl.cli` is the command line over it.
Nothing is imported here: a script that only reads an auth file loads neither requests nor
kubernetes.
"""

__version__ = "1.0.0"
