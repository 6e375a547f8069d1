"""
The Kubernetes API: requests, names, namespaces, Secrets, service accounts, and object ownership.

It must not know what a Secret means: pullsecrets and authsecret are packages above it. Import from
its modules: `client` loads urllib3 and the kubernetes package.
"""
