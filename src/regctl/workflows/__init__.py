"""
Work at all ends at once: rotating a password, checking everything, why a pull fails, and rights.

It uses the packages below it; only the command line uses it.
"""
