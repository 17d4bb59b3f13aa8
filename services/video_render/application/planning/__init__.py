"""Planners that need no network: text in, storyboard out."""

from services.video_render.application.planning.script_planner import ScriptPlanner

__all__ = ["ScriptPlanner"]
