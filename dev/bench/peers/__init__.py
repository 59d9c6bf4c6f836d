"""The same workload on several libraries: a change in MongoDB with its event, and then an effect in MongoDB.

Each module of a library is a program that makes changes (`work.produce`), and is run by its own worker to handle the
events. They run in an environment of their own (requirements-bench.txt), with nothing of ours but `work`; `ours` and
`stock_nameko` run in the product's. PEER_RELIABLE=1 chooses the settings that the library's documentation recommends
against loss; else all settings are its defaults.
"""
