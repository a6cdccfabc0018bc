"""Speed and memory of each part, each measured in a process of its own."""
