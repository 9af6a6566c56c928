"""`make dev`: the whole stack on one machine, from template.yaml.

dev.py is the command, session.py the order of things. stack/ deploys the template onto the emulator, lambdas/ runs the
functions, gateway/ is the front server that plays API Gateway, logs/ brings everybody's lines to one place.
"""
