"""Models behind one neutral language: requests, streams of events, prices. SDKs live in the provider's own module."""
