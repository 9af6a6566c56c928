"""Removes each check that keeps tenants and owners apart, one at a time, and runs the tests: each must be missed."""
