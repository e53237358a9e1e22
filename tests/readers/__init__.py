"""Readers during switches: nginx serves a root while generations are published and garbage is collected.

`python -m tests.readers --generations 200` is the long run; `test_readers.py` is a short one.
"""
