"""
The registry's API: requests, authentication, lists, and what each answer means.

It must not know the cluster, nor what an image is made of.
"""
