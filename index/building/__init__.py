"""What happens before an index folder exists: shards, locks and the final rename."""
