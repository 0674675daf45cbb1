"""Foregrounds, backgrounds, and assignments of one to the other."""
