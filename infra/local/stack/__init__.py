"""template.yaml on the emulator: package.py uploads the code, deploy.py makes the stack,
corrections.py makes it what AWS would have made, functions.py reads it back.
"""
