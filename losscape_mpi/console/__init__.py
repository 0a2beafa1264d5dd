"""The console command: its table of commands, what it says of them, and shell completion."""
