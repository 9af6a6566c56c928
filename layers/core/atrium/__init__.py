"""The domain of Atrium: everything that the functions share."""
