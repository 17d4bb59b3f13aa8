"""What happens around every served call: one wrapper per method, composed when the method is first called."""

from services.runtime.interceptors.pipeline import CallPipeline

__all__ = ["CallPipeline"]
