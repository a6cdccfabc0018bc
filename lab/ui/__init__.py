"""The page: one file for each tab, over files only; nothing here imports torch."""

from lab.ui import stubs

stubs.leave_out()  # here, because every file of the page comes after it
