"""A tenant's own API keys for model providers.

    PUT /v1/model-keys/{provider} ──> check at the provider ──> encrypt with KMS ──> one transaction:
        MODEL_KEY#<provider>   encrypted key, its first and last characters, version, last rejection
        TENANT                 the provider's name in the set `model_keys`, new `config_version`
        AUDIT                  who set it

A turn reads the tenant's item anyway. Only if its set `model_keys` names the provider of the model, the key is read and
decrypted (`opening`), and cached in the container by `config_version` for a few minutes. So a tenant without own keys
costs nothing more, and a change holds from the next turn on.

Invariants: a key leaves this package only as an adapter of `atrium.llm`; responses, logs, audit events, runs and errors
never contain it. If the provider rejects a key, the platform's key is not used in its place.
"""
