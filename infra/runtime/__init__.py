"""Runs built Lambda artifacts on this machine without a container.

`api` is the Lambda Runtime API, `artifact` starts a built function against it, `build` builds the artifacts, `sandbox`
provides AWS and a model server, `invoke` is `make invoke`.

Why not the tools that exist: `sam local invoke` needs a container engine; the emulator's Lambda sees the whole
development environment, so a dependency that is missing in the layer goes unnoticed; moto's server needs Flask and has
no lock, so concurrent conditional writes oversell; `sam build` rebuilds for Lambda's platform each time.
"""
