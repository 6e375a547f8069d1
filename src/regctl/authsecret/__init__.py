"""
The auth Secret: the auth file as a Secret, in the shape that its reader takes.

It must not know pull secrets, nor the registry's API.
"""
