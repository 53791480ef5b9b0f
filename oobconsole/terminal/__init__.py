"""What a terminal is. The server and its clients use this package, which does no I/O and knows neither of them.

`sequences` finds control sequences in output, and `safe` keeps from a terminal those that make it answer or act.
`state`, `grid`, `pen` and `model` know what a terminal shows; `tmux` does so where tmux differs. `drawing` makes
another terminal show the same, and `restore` gives a terminal back as a shell wants it. `plain` and `text` are the
text that is left without colours and controls.
"""
