"""
The registry's HTTP API: requests, authentication, lists, errors, and the checks of `ping`.

`client.RegistryClient` is what others use; `session` sends one request, `urls` checks every URL
that a server names. Must not know the cluster, nor the content of images.
"""
