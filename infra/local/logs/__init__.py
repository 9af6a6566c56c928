"""The log of the local stack: `entries` parses lines, `render` formats entries, and `stack_log` writes them."""
