"""Posting committed changes to other programs."""
