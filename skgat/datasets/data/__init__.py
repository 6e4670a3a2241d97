"""The tables of the bundled zoos."""

__all__ = []
