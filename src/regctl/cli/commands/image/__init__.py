"""`regctl image ...`: images in a registry."""
