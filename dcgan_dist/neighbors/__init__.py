"""Hamming and L2 search: knows codes and vectors, never images; the only package that imports faiss."""
