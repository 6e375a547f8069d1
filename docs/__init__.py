"""Writes the documents and scripts that are generated from the code."""
