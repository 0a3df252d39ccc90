"""Floor 0: what is a passage, a query, a ranking, an encoder, an error? Imports nothing of ours."""
