"""One readable place for everybody's lines: entries.py reads them, render.py writes them, stack_log.py keeps them."""
