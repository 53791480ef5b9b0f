"""`make attack`: a real server is attacked as docs/security-tests.md says, while an honest person types at it."""
