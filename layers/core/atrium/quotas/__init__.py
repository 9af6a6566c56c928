"""Admission: limits, windows, slots and holds of a tenant, decided together in one conditional write."""
