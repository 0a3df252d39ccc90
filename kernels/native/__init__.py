"""The C library of fast CPU twins: built at install where a compiler is, never needed."""
