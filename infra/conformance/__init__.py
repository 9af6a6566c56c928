"""`make conformance`: runs the store tests on DynamoDB Local, and the streaming function with the real Lambda Web
Adapter.
"""
