"""Lock files: bytes in, a `Lock` or everything that is wrong with it out.

Pure like `simple` and `plan`. What is not read here is what no index can have: the project itself, repositories and
files on the disk of whoever made the lock. Secrets that old tools left in a lock's URLs are taken out and remembered,
so that no message ever has them.
"""
