"""Draws storyboard scenes with Manim's mobjects and animations, Typst's typesetting and an own frame writer.

Importing this package is cheap; Manim itself is imported by `ManimSceneRenderer.preload` or the first `render`.
"""
