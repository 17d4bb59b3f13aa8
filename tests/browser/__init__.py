"""Played and read in a real browser: hls.js in headless Chromium, on a page of another origin than the gateway's."""
