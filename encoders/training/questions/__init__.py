"""Questions made from passages, for people without any."""
