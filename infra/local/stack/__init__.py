"""Deploys template.yaml to the emulator. `package` uploads the code, `deploy` creates the stack, `corrections` removes
differences from AWS, and `functions` reads the deployed functions.
"""
