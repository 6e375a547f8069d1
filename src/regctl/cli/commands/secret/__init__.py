"""`regctl secret ...`: pull secrets in the cluster."""
