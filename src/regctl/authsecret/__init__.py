"""
The auth Secret: the active users of an auth file, in the layout that its reader expects.

Compares, plans, uploads and fetches it. Knows auth files and the cluster; must not know pull
secrets or the registry's API.
"""

DEFAULT_NAME = "registry-basic-auth"
"""The name of the auth Secret unless another is given: the one of imixs-cloud's guide."""
