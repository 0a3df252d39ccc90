"""Floor 2: vectors and texts to a folder that answers nearest-neighbour and BM25 questions."""
