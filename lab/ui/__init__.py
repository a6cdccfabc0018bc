"""The page: one file for each tab, over files only; nothing here imports torch."""
