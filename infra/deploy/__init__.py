"""Implements `make deploy ENV=…`, which checks the account and the parameters, builds the code, and runs `sam deploy`.

configuration.py reads samconfig.toml, account.py finds the region and the credentials, checks.py finds problems before
the deployment, and sam.py builds the command lines. To create a stack, `sam deploy` runs twice. The first run has
`ProtectData=false`, so that a failed creation can be rolled back completely. The second run protects the data stores.
"""
