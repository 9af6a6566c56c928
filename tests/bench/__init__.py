"""`make bench`: what an admission, a settlement and a turn cost, measured and never asserted (infra/docs/bench.md)."""
