"""Data sets of a tenant, and read-only SQL queries over them.

An upload is CSV or JSON Lines. `content.py` validates it and infers the types of its columns, `image.py` converts it to
an SQLite image, and the image is stored as a blob. SQLite therefore never reads a file that a caller has made.

A query passes three barriers, and each of them suffices to protect the data of other callers:

- `sql.py` parses it with sqlglot: one SELECT, and only data sets that the caller may read. Only these are loaded.
- `worker.py` executes it with SQLite in a new process, with an empty environment, without further files, and with
  limits of the operating system for memory and CPU time.
- SQLite's authorizer in that process allows only SELECT, reads of the loaded tables, and the functions of a list.
"""
