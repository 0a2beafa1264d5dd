"""Data sets: the module of a set's name reads its splits."""
