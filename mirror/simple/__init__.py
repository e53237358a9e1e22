"""The simple repository API: pages of an index into the domain's words, and the domain's words into pages."""
