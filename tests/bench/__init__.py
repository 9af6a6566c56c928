"""`make bench` measures the cost of admission, settlement and turns, without assertions (infra/docs/bench.md)."""
