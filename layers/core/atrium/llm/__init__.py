"""Model requests, event streams and prices in a provider-neutral format. Only a provider's package uses its SDK."""
