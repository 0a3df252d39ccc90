"""The folded student: a bidirectional recurrence that runs on numpy and C alone."""
