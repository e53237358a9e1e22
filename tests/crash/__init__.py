"""A whole `mirror sync` struck at any system call that changes its root: by a kill, an error or a power cut.

`python -m tests.crash` strikes at every one of them; the tests here take a fixed sample.
"""
