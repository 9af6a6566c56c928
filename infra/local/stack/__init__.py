"""template.yaml on the emulator: package.py uploads the code, deploy.py makes the stack, functions.py reads it back."""
