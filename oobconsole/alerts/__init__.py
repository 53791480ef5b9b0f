"""Alerts: what guests print is watched for patterns, and a program runs or a URL is posted to when one matches.

`[[alert]]` of the configuration; docs/alerts.md. `scanner` looks for the patterns, `limits` says how often an alert
may be told, `outbox` runs the programs and `post` posts, `alerts` connects these with the consoles.
"""
