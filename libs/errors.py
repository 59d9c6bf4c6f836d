"""What an error means: one table that classifies all exceptions of the MongoDB, Redis, RabbitMQ and Stripe libraries.

RPC, event handlers and the gateway use it. The table has names, so that no part loads a library that it does not use.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any


class Unavailable(Exception):
    """Something that the current work needs is unreachable; nothing else is wrong, so a later retry may help."""


class Conflict(Exception):
    """Somebody else was quicker: read again and decide again."""


class Kind(StrEnum):
    """What an error means."""

    UNAVAILABLE = "unavailable"
    """A later retry may help. The operation may or may not have been carried out, and may yet be undone."""
    CONFLICT = "conflict"
    """It was not carried out, because somebody else was quicker: read again and decide again."""
    BUG = "bug"
    """A bug or a wrong setting, unless it is handled where it is expected: a retry does not help."""


def kind_of(error: BaseException) -> Kind:
    """Return what an error means: by the table, or else what its nearest base class in the table means."""
    for cls in type(error).__mro__:
        if found := TABLE.get(_name(cls)):
            return found if isinstance(found, Kind) else found(error)
    return Kind.BUG


def is_unavailable(error: BaseException) -> bool:
    """Return whether the error only means that something is unreachable."""
    return kind_of(error) is Kind.UNAVAILABLE


def needs_traceback(error: BaseException) -> bool:
    """Return whether a log needs an error's traceback: not when a server is unreachable or denies access."""
    return kind_of(error) is Kind.BUG and not is_refusal(error)


def is_refusal(error: BaseException) -> bool:
    """Return whether a server denies access: it refuses a login or a right, until an operator changes one."""
    code = getattr(error, "code", None)
    return any(_name(cls) in REFUSALS for cls in type(error).__mro__) or code in MONGO_REFUSALS


@contextmanager
def ignoring_unavailable() -> Iterator[None]:
    """Leave the block when something is unreachable, as `suppress` does."""
    try:
        yield
    except Exception as error:
        if not is_unavailable(error):
            raise


def log_failure(log: logging.Logger, error: BaseException, message: str, *arguments: object) -> None:
    """Log that something failed: a bug as an error, with its traceback if it needs one, anything else as a warning."""
    level, name = logging.ERROR if kind_of(error) is Kind.BUG else logging.WARNING, type(error).__name__
    log.log(level, f"{message}: %s: %s", *arguments, name, error, exc_info=error if needs_traceback(error) else None)


REFUSALS = ("amqp.AccessRefused", "amqp.NotAllowed", "redis.AuthenticationError", "redis.NoPermissionError")
"""Wrong settings and missing rights, which need no traceback: the message is enough."""
MONGO_REFUSALS = (13, 18)
"""Unauthorized, AuthenticationFailed."""

MONGO_CODES = {
    **dict.fromkeys(
        (
            *(6, 7, 89, 9001),  # HostUnreachable, HostNotFound, NetworkTimeout, SocketException
            *(91, 11600),  # ShutdownInProgress, InterruptedAtShutdown
            *(189, 10058, 10107, 11602, 13435, 13436),  # another primary: PrimarySteppedDown, NotWritablePrimary...
            *(43, 50, 64, 136, 175, 202, 237, 262),  # CursorNotFound, MaxTimeMSExpired, WriteConcernTimeout...
            *(63, 133, 134, 150, 246, 13388),  # StaleShardVersion, ReadConcernMajorityNotAvailableYet...
            *(24, 46, 365, 11601, 14031),  # LockTimeout, LockBusy, TemporarilyUnavailable, Interrupted, OutOfDiskSpace
            *(74, 94, 109),  # NodeNotFound, NotYetInitialized, ConfigurationInProgress: it is being set up
        ),
        Kind.UNAVAILABLE,
    ),
    **dict.fromkeys((112, 11000, 11001, 12582), Kind.CONFLICT),  # WriteConflict, DuplicateKey
}
"""mongodb/mongo: src/mongo/base/error_codes.yml."""

MONGO_LABELS = ("RetryableWriteError", "TransientTransactionError", "SystemOverloadedError")

REDIS_REFUSALS = ("BUSY", "MISCONF", "NOREPLICAS")
"""How errors begin, if they have no class, by which Redis refuses all commands (a script runs, the disk is full)."""
PIPELINE_PREFIX = "caused error: "  # redis/client.py, annotate_exception


def _of_mongo(error: Any) -> Kind:
    if any(map(error.has_error_label, MONGO_LABELS)):
        return Kind.UNAVAILABLE
    return MONGO_CODES.get(error.code, Kind.BUG)


def _of_mongo_batch(error: Any) -> Kind:
    """Return the worst kind in a batch; but if part of it may yet be undone, its outcome is unknown."""
    if any(map(error.has_error_label, MONGO_LABELS)) or error.details.get("writeConcernErrors"):
        return Kind.UNAVAILABLE
    kinds = {MONGO_CODES.get(each.get("code"), Kind.BUG) for each in error.details.get("writeErrors", ())}
    return next((kind for kind in (Kind.BUG, Kind.UNAVAILABLE, Kind.CONFLICT) if kind in kinds), Kind.BUG)


def _of_redis(error: Any) -> Kind:
    answer = str(error).rpartition(PIPELINE_PREFIX)[2]
    return Kind.UNAVAILABLE if answer.startswith(REDIS_REFUSALS) else Kind.BUG


def _of_stripe(error: Any) -> Kind:
    """Return the kind by the status: 409 and `lock_timeout` mean that a request about the same object is under way.

    https://docs.stripe.com/error-low-level, https://docs.stripe.com/rate-limits#object-lock-timeouts
    """
    status = error.http_status or 0
    if status == 409 or getattr(error.error, "code", None) == "lock_timeout":
        return Kind.CONFLICT
    return Kind.UNAVAILABLE if status == 429 or status >= 500 else Kind.BUG


def _of_stripe_unreachable(error: Any) -> Kind:
    return Kind.CONFLICT if _of_stripe(error) is Kind.CONFLICT else Kind.UNAVAILABLE


def _name(cls: type) -> str:
    """Return the name of a class with that of its library: which module defines it is no promise."""
    return f"{cls.__module__.partition('.')[0]}.{cls.__qualname__}"


def _named(library: str, names: str, kind: Kind | Callable[[Any], Kind]) -> dict[str, Kind | Callable[[Any], Kind]]:
    return {f"{library}.{name}": kind for name in names.split()}


TABLE: dict[str, Kind | Callable[[Any], Kind]] = {
    **_named("libs", "Unavailable", Kind.UNAVAILABLE),
    **_named("libs", "Conflict", Kind.CONFLICT),
    # whatever else fails at a socket is an OSError, and some of it has no class of its own
    **_named("builtins", "OSError", Kind.UNAVAILABLE),
    **_named(
        "builtins",
        "BlockingIOError ChildProcessError FileExistsError FileNotFoundError InterruptedError IsADirectoryError "
        "NotADirectoryError PermissionError ProcessLookupError",
        Kind.BUG,
    ),
    **_named(
        "pymongo",
        "AutoReconnect ConnectionFailure CursorNotFound ExecutionTimeout NetworkTimeout NotPrimaryError "
        "ServerSelectionTimeoutError WTimeoutError WaitQueueTimeoutError WriteConcernError _OperationCancelled "
        "_PoolClosedError",
        Kind.UNAVAILABLE,
    ),
    **_named("pymongo", "DuplicateKeyError", Kind.CONFLICT),
    **_named("pymongo", "OperationFailure WriteError", _of_mongo),
    **_named("pymongo", "BulkWriteError ClientBulkWriteException", _of_mongo_batch),
    **_named(
        "pymongo",
        "CollectionInvalid ConfigurationError DocumentTooLarge EncryptedCollectionError EncryptionError InvalidName "
        "InvalidOperation InvalidURI ProtocolError PyMongoError",
        Kind.BUG,
    ),
    **_named("bson", "BSONError InvalidBSON InvalidDocument InvalidId InvalidStringData", Kind.BUG),
    **_named("gridfs", "CorruptGridFile FileExists GridFSError NoFile", Kind.BUG),
    **_named(
        "redis",
        "BusyLoadingError ClusterDownError ClusterError ConnectionError MasterDownError MasterNotFoundError "
        "MaxConnectionsError OutOfMemoryError ReadOnlyError SlaveNotFoundError SlotNotCoveredError TimeoutError "
        "TryAgainError",
        Kind.UNAVAILABLE,
    ),
    **_named("redis", "LockError LockNotOwnedError WatchError", Kind.CONFLICT),
    **_named("redis", "ResponseError", _of_redis),
    **_named(
        "redis",
        "AskError AuthenticationError AuthenticationWrongNumberOfArgsError AuthorizationError ChildDeadlockedError "
        "ClusterCrossSlotError CrossSlotTransactionError DataError ExecAbortError ExternalAuthProviderError "
        "IncorrectPolicyType InvalidPipelineStack InvalidResponse ModuleError MovedError NoPermissionError "
        "NoScriptError NoSuchFieldsetError PubSubError RedisClusterException RedisError",
        Kind.BUG,
    ),
    # a queue or exchange that is gone is declared again by its owner (docs/events.md)
    **_named(
        "amqp",
        "Blocked ChannelError ChannelNotOpen ConnectionError ConnectionForced ConsumerCancelled InternalError "
        "IrrecoverableConnectionError MessageNacked NoConsumers NotFound RecoverableChannelError "
        "RecoverableConnectionError ResourceError ResourceLocked",
        Kind.UNAVAILABLE,
    ),
    **_named(
        "amqp",
        "AMQPError AMQPNotImplementedError AccessRefused ContentTooLarge FrameError FrameSyntaxError InvalidCommand "
        "InvalidPath IrrecoverableChannelError NotAllowed PreconditionFailed UnexpectedFrame",
        Kind.BUG,
    ),
    **_named("kombu", "ConnectionLimitExceeded InconsistencyError OperationalError", Kind.UNAVAILABLE),
    **_named(
        "kombu",
        "BatchPublishError ChannelLimitExceeded ContentDisallowed DecodeError EncodeError HttpError KombuError "
        "LimitExceeded MessageStateError NotBoundError SerializationError SerializerNotInstalled VersionMismatch",
        Kind.BUG,
    ),
    **_named("stripe", "APIConnectionError APIError RateLimitError", _of_stripe_unreachable),
    **_named("stripe", "IdempotencyError InvalidRequestError StripeError StripeErrorWithParamCode", _of_stripe),
    **_named(
        "stripe",
        "AlreadyCanceledError AuthenticationError BlockedByStripeError CannotProceedError CapabilityNotEnabledError "
        "CardError ControlledByAlternateResourceError FeatureNotEnabledError FinancialAccountNotOpenError "
        "FxQuoteNeedsRefreshError InsufficientFundsError InvalidClientError InvalidGrantError "
        "InvalidPaymentMethodError InvalidPayoutMethodError InvalidScopeError InvalidVaultedCredentialError "
        "NotCancelableError OAuthError PermissionError QuotaExceededError RecipientNotNotifiableError "
        "SignatureVerificationError TemporarySessionExpiredError UnsupportedGrantTypeError "
        "UnsupportedResponseTypeError VerificationAttemptFailedError VerificationExpiredError "
        "VerificationNotInitiatedError",
        Kind.BUG,
    ),
}
"""Every exception of the libraries (a test checks that); some can only be classified by their contents."""
