"""Kernel and recurrent rankers: small torch models over the word pieces of query and passage."""
