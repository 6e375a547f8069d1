"""
The registry's users: the auth file that htpasswd writes and the registry or its proxy reads.

Users, hashes, expiry, lists of users, the audit for each reader, and repairs. It must not know
Kubernetes, nor the registry's API.
"""
