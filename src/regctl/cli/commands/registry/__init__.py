"""`regctl registry …`: registries in the cluster."""
