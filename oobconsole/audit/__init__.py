"""The signed log of who did what: docs/audit.md.

`chain` is the format of a line, `files` finds and reads the log's files, `resume` says where a log goes on after a
restart, `log` writes it, `syslog` sends copies, and `verify` checks it.
"""
