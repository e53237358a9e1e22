"""One run: task groups and bounded streams between the network and the store; events; the report."""
