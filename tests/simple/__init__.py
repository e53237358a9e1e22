"""The simple repository API: what real servers write, what the rules refuse, and what we write."""
