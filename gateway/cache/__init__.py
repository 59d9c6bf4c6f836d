"""Reads from memory: public content, cached by each process and served without asking a service."""
