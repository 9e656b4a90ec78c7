"""Runs the keeper; only Stack.start() calls this."""

from streamer.stack.keeper import main

main()
