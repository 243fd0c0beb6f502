"""Broken structured replies, each with the object that was meant."""
