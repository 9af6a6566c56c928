"""The policies of a tenant: which principals may perform which actions on which resources."""
