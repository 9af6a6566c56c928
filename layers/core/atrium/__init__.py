"""The shared code of all Atrium functions."""
