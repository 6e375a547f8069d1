"""
A private registry in a namespace: its manifests, and how to apply, list and delete it.

It must not know the workflows, which are its neighbours.
"""
