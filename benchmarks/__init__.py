"""regctl beside its peers, timed: `make bench`, or `python -m benchmarks startup` for one of them."""
