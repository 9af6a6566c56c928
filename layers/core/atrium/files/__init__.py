"""Files of a tenant: content that programs and tools store under a path, such as `reports/june.md`.

All principals of the tenant see the same files; scopes and policies decide who may read and write. The content is a
blob, which is never changed: each write stores a new blob, then changes the file's item in a transaction on condition
that the file is still the one that was read, and then deletes the replaced blob. If the process fails between two of
these steps, only a blob without an item remains, which the erasure of the tenant removes.

Paths exist only as sort keys of items, and the names of blobs are generated, so no path can leave the tenant's data.
"""
