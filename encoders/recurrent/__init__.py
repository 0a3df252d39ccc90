"""Recurrent encoders: word pieces, L layers of any cell, pooling, a unit vector."""
