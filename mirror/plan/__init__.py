"""Decisions: synchronous functions from facts to what should be done, without I/O, clock or chance."""
