"""Implements `make dev`, which runs the stack of template.yaml on one machine.

`dev` is the command, and `stack_run` starts and stops all processes and servers. `stack` deploys the template to the
emulator, `lambdas` runs the functions, `gateway` is the front server that replaces API Gateway, and `logs` collects all
output.
"""


class StartFailed(Exception):
    """Raised if the stack cannot start or continue. The message is one line that states the remedy."""
