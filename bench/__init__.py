"""Measurements behind the decisions in mirror/ARCHITECTURE.md; nothing here is a test."""
