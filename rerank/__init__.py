"""Floor 2: a query and its candidates to a better order."""
