"""regctl beside its peers, timed: `make bench`, or one with `python -m benchmarks startup`."""
