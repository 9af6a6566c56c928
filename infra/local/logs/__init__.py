"""The log of the local stack: `entries` parses lines, `render` formats them, `stack_log` writes them."""
