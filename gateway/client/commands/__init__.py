"""The command `t2m`: what people and scripts do with t2m at a terminal."""
