"""Model routing: rules that choose the model of a turn whose model is `auto`.

    model.py       a rule, its conditions and models, and the shipped rules
    classifier.py  the complexity of a message, and whether it is about code: a heuristic
    matching.py    the order of rules, and whether the conditions of a rule are met
    choosing.py    weights, the draw, and the choice over all rules
    store.py       items: RULE#<id>, and a marker RULE_NAME#<name>, so that names are unique
    service.py     administration, and the rules of a turn

A turn takes the rules of the tenant and the shipped rules in one order: by descending priority; at the same priority
first the tenant's rules, oldest first, then the shipped rules. The first rule whose conditions are met and that has a
usable model decides. A model is usable if the caller may use it, this deployment serves it, and its circuit is closed.

The weight of a model is the weight in the rule, or else 1000 / latency in ms. One usable model is drawn by weight; the
other models of the rule are its fallbacks. From the second turn of a session on, every turn makes the same draw, so
that the provider's prompt cache stays useful while rule and weights stay the same.

    Rule("proofs", priority=20, when={"complexity": "high"}, models=[opus (weight 3), sonnet (weight 1)])
    a hard question of a new session -> opus with 75 %, and then sonnet as its fallback

A turn with a fixed model imports nothing of this package.
"""
