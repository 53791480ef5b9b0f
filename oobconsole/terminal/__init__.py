"""What a terminal is, for the server and for its clients: pure, and without anything of either.

`safe` keeps from a terminal what acts on it; `model` knows what a terminal shows; `drawing` makes another the same;
`restore` gives one back.
"""
