"""Choosing among documents and writing the call."""
