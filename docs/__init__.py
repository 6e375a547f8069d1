"""What is written from the code: the README's list of commands, and the completion scripts."""
