"""Photographs: decoded banks, readers of folders and tables, augmentation and mixing."""
