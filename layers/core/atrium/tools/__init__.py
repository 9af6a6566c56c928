"""Tools that agents may call: a registry, validated arguments, and the built-in ones."""
