"""The `fieldelm` command, its set-up and its development tools."""
