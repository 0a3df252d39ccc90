"""A query becomes a small network, and the network scores stored passage vectors."""
