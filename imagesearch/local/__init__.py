"""The one-machine edition: the stack, the command line, and the demo gallery with its scenes."""
