"""`make conformance`: the stores on DynamoDB Local, the streaming function under the real Lambda Web Adapter."""
