"""A month of nights at an air gap: a root outside that changes, three sites inside, and disks with bad luck.

`outside` is what happens there, `disks` what travels and how it is spoiled, `inside` one site with the model of what it
must do, `month` draws the steps. `python -m tests.month --nights 500` is the long soak; `test_month` its short form.
"""
