"""The network: one session per index, and only it can use that index's credential."""
