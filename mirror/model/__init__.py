"""The domain's words as types: pure values, no I/O, no clock, no randomness."""
