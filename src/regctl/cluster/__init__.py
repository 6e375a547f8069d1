"""
The Kubernetes API: requests, names, namespaces, Secrets, service accounts and who owns an object.

It must not know what a Secret means: pull secrets and the auth Secret are packages above it.
"""
