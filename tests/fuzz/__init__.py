"""Everything that reads bytes from outside, given bytes that are nearly right.

`near` makes them, `limits` bounds what reading them may take, `targets` says what is read and what may come of it.
`python -m tests.fuzz` goes on for as long as it is told.
"""
