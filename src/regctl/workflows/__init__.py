"""
Work on several systems at once: rotation, checks of a whole setup, failed pulls, and rights.

Combines the packages of users, pull secrets, images and the registry's API. It must not know the
command line.
"""
