"""template.yaml on the emulator: `package` uploads the code, `deploy` creates the stack, `corrections` removes the
differences from AWS, `functions` reads the result.
"""
