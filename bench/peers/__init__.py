"""Peers that are programs of ours: what a person would write by the book of a library."""
