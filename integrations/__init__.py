"""Protocols and neighbours. Knows no database."""
