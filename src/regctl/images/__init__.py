"""
Images: read them in a registry, push saved ones, tag, delete and prune them.

It must not know the cluster.
"""
