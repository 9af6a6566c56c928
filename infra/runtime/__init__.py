"""Runs built Lambda artifacts on this machine without a container.

`api` is the Lambda Runtime API, and `artifact` starts a built function that uses this API. `build` builds the
artifacts, `sandbox` provides an AWS emulator and a model server, and `invoke` implements `make invoke`.

Existing tools are not used for these reasons. `sam local invoke` needs a container engine. The emulator's Lambda can
import the whole development environment, so a dependency that is missing in the layer is not detected. moto's server
needs Flask and has no lock, so concurrent conditional writes are not exact. `sam build` always builds for Lambda's
platform.
"""
