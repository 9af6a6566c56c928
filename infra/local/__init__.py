"""`make dev`: the whole stack on one machine, from template.yaml.

`dev` is the command and `stack_run` starts and stops the parts. `stack` deploys the template onto the emulator,
`lambdas` runs the functions, `gateway` is the front server that replaces API Gateway, `logs` collects all output.
"""


class StartFailed(Exception):
    """The stack cannot start or continue; the message is one line that says what to do."""
