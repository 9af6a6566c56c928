"""Prompt templates: texts with variables, from which the system prompts of agents are rendered.

Concepts
    A *prompt* has a unique name in the tenant and numbered *versions*. A version is a template and the declaration of
    its variables, and never changes. A change of either makes a new version. *Shipped prompts* (`shipped`) belong to
    every tenant. A prompt of the tenant with the same name overrides a shipped one for references by name.

    A *reference* (`model.PromptReference`) is what an agent has instead of a system prompt: a prompt by id or name,
    optionally a version, and values of the declared variables. The *built-in variables* (`model.BUILT_IN`) have values
    in every rendering: agent, company, tools, user, date and others.

Safety (`template`)
    A template is untrusted. Its syntax tree is checked against a list of allowed nodes before any code is made of it:
    text, output of variables, conditions, loops over declared lists, and a few filters. There are no calls, attributes,
    assignments, macros or arithmetic. The number of evaluated nodes is bounded when the template is checked, and the
    size of the output while it is rendered. Jinja's sandbox is a second barrier.

Invariants
    The output depends only on the stored template, the declared variables and the given values, so an old version
    always renders the same bytes (`tests/unit/prompts/test_golden.py`). Every change raises the tenant's
    `config_version`, which is the key of the cache of turns (`turns.PromptCache`).
"""
