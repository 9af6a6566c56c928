"""Mutation tests of tenant isolation: removes each check that separates tenants or owners and runs the tests."""
