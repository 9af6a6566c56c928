"""`make deploy ENV=…`: checks account and parameters, builds, and runs `sam deploy`.

configuration.py reads samconfig.toml, account.py finds region and credentials, checks.py finds problems before the
deployment, sam.py builds the command lines. A first create runs twice: first with `ProtectData=false`, so that a failed
create can be rolled back completely, and then again to protect the data stores.
"""
