"""index-mirror: several private Python package indexes, one local tree, each file with its own index's credentials."""

__version__ = "0.1.0"
