"""How people come in: login, invitations and resets, password changes, and what slows those down who guess."""
