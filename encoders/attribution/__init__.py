"""Which tokens of query and passage make a bi-encoder's score."""
