"""`regctl auth …`: the auth file and the auth Secret."""
