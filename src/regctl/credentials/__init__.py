"""
A user and a password for a registry, as docker and Kubernetes store them.

docker's `config.json`, the content of a pull secret, and how the kubelet chooses between them. It
must not know where the bytes come from: not the cluster, not the registry's API.
"""
