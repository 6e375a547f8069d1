"""
Pull secrets: what is wanted, what is there, the plan, its rollout, and whether they work.

It must not know the auth Secret or the registry's API: trying a credential is handed in.
"""
