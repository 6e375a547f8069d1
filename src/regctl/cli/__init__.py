"""The command line: options, output and the error boundary; the commands are in `commands`."""
