"""`make bench`: measures the cost of admission, settlement and turns; asserts nothing (infra/docs/bench.md)."""
