"""
Users and passwords for a registry, as docker and Kubernetes store them.

docker's `config.json`, the content of a pull secret, and the rules by which the kubelet chooses a
credential. This package must not know where the bytes come from: no cluster, no registry's API.
"""
