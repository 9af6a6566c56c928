"""`make deploy ENV=…`: checks account and parameters, builds, and runs `sam deploy`.

configuration.py reads samconfig.toml, account.py finds region and credentials, checks.py reports what would make the
deployment fail, sam.py builds the command lines. A first create runs twice: once with `ProtectData=false`, so that a
failed one can be rolled back completely, and once more to protect what holds data.
"""
