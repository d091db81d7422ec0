"""One file a command: its flags, and what it prints. The work is done elsewhere, loaded late."""
