"""Reads from memory: what is the same for everybody, kept by each process and served without asking a service."""
