"""Floor 2: a run and judgments to measures, intervals and tests."""
