"""Whole systems over one collection: what each finds, what each costs, and what may be said."""
