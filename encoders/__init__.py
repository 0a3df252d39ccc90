"""Floor 2: text to vectors."""
