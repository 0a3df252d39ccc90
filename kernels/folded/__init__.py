"""The folded student: minGRU layers whose token side is a table, from word pieces to vectors.

numpy and the C library are all that runs it; ``reference`` (torch) is what it must equal.
"""
