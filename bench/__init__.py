"""What mirroring costs: the benchmark, and the measurements behind the decisions in mirror/ARCHITECTURE.md."""
