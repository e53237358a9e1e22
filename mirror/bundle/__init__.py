"""Bundles across the air gap: directories that hang from a signed statement, written, proved and read."""
