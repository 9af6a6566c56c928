"""Evaluates the template's IAM policies for every AWS call that the tests make through functions (ADR 0100)."""
