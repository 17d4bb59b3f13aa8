"""Scenes are drawn in processes of their own, one per attempt, which can be killed at any moment.

Which process may fork which is what makes this safe. A pool child talks gRPC and SQL, whose libraries own threads and
locks; a fork of it may inherit a lock that nobody will ever release. So right after its own birth, while it still has a
single thread, a pool child forks a zygote: it has the engine imported, never starts a thread and never opens a
connection. All scenes are forked from the zygote, in a few milliseconds, sharing the imported engine's memory.

    worker parent ── pool child ── zygote ── render child (own process group)

Each process asks the kernel to be killed when its parent dies, so `kill -9` of any of them ends everything below.
"""
