"""Tools that agents may call: the registry, the validation of arguments, and the built-in tools."""
