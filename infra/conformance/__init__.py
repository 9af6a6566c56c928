"""Implements `make conformance`, which runs tests with DynamoDB Local and the real Lambda Web Adapter.

The command also evaluates the IAM policies and runs the end-to-end tests with a stage prefix.
"""
