"""What the template's policies let each function do, evaluated for every call that the tests make (ADR 0100)."""
