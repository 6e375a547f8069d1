"""Removed when every command has moved to the new options."""
