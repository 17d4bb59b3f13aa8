"""Rate limits (A7): budgets by class of call, per user by plan, per address, and for the deployment as a whole."""

from gateway.ratelimit.config import CLASS_NAMES, RateConfig
from gateway.ratelimit.limiter import Limiter
from gateway.ratelimit.store import LimitStore, RedisLimitStore, memory_store

__all__ = ["CLASS_NAMES", "LimitStore", "Limiter", "RateConfig", "RedisLimitStore", "memory_store"]
