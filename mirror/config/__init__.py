"""The configuration: `load.load` reads it, `secrets.SecretResolver` opens what it refers to.

Nothing here speaks to an index. A configuration is either right as a whole or refused with everything
that is wrong with it; a secret is in it by reference only, and is read when a session asks for it.
"""
