"""BM25, row-aligned with the index: bm25s by default, Lucene on request."""
