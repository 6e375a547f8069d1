"""
Pull secrets: their plan, rollout, inventory, deletion and check, and the declared file.

It must not know the auth Secret or the API of a registry: the caller passes the function that
tries a credential.
"""
