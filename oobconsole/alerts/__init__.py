"""What guests print, watched for patterns, and what is done then: `[[alert]]`, docs/alerts.md."""
