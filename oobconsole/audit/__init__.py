"""The signed log of who did what: docs/audit.md. `chain` is the format, `log` writes it, `verify` checks it."""
