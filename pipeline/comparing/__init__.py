"""Systems side by side over one collection: what each finds, what it costs, what may be said."""
