"""
Images in a registry: manifests, what they hold, saved archives, upload, and which may go.

It must not know the cluster.
"""
