"""What can be wrong with a call about plans, subscriptions and charges."""

from __future__ import annotations

from services.auth.domain.errors import AuthError, InvalidValue


class UnknownPlan(InvalidValue):
    """The deployment has no such plan, or nobody needs to subscribe to it."""

    def __init__(self, wording: str = "must be a plan of this deployment") -> None:
        super().__init__([("plan", wording)])


class AlreadySubscribed(AuthError):
    """The user has a subscription, to be changed or cancelled."""

    def __init__(self, plan: str) -> None:
        super().__init__(f"there is a subscription to {plan}; change it, or cancel it")


class SubscriptionNotFound(AuthError):
    """The user has no subscription."""

    def __init__(self) -> None:
        super().__init__("there is no subscription")


class SubscriptionUnpaid(AuthError):
    """The subscription cannot be changed before it is paid."""

    def __init__(self, state: str) -> None:
        super().__init__(f"the subscription is {state.replace('_', ' ')}; pay it first")


class BillingRequestConflict(AuthError):
    """The request id was used for another call."""

    def __init__(self) -> None:
        super().__init__("this request id was used for a different call")


class ChargeNotFound(AuthError):
    """There is no such charge."""

    def __init__(self) -> None:
        super().__init__("no such charge")


class ChargeSettled(AuthError):
    """The charge is not open any more."""

    def __init__(self, state: str) -> None:
        super().__init__(f"the charge is {state}")


class NotRefundable(AuthError):
    """Only credits that were spent can be refunded."""

    def __init__(self, state: str) -> None:
        super().__init__(f"the reservation is {state}, not settled")


class BillingEventsNotTaken(AuthError):
    """This deployment has no provider that sends events."""

    def __init__(self) -> None:
        super().__init__("this deployment takes no events of a billing provider")


class SignatureInvalid(AuthError):
    """An event whose signature is missing, wrong or too old."""

    def __init__(self, message: str = "the signature of the event is not valid") -> None:
        super().__init__(message)


class ProviderAway(AuthError):
    """The billing provider did not answer, or could not; the same question may be asked again."""
