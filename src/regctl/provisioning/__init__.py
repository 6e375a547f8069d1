"""
A whole registry in a namespace: its objects, installing, listing and removing it.

It must not know the workflows, which are its neighbours.
"""
