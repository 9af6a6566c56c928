"""Model requests, event streams and prices in a provider-neutral format. SDKs are used only in the modules of their
provider.
"""
