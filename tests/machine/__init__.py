"""A state machine that lives through many nights: upstreams change and break, runs are killed, disks rot.

`model` says what must be true, `upstream`, `disk` and `doomed` are the hands, `machine` draws the steps.
`python -m tests.machine --steps 2000` is the long soak; `test_machine` is its short form.
"""
