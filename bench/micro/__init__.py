"""Micro-benchmarks of the pure layers; run them with `python -m pytest bench/micro`."""
