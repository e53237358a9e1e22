"""The disk: what is in the store was verified, and what is published survives a power cut."""
