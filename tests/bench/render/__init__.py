"""P5: wall time of rendering a storyboard, beside plain Manim in the same run."""
